r"""The reduced-scale validation on language models: do the predictions of the tables hold where everything is sampled?

    python -m experiments.llm_validation --rung 1|2 [--again] [--device cpu|cuda] [--quick] [--model DIR] ...

Rung 0 (`experiments.llm_bridge`) knew every expectation. Here nothing is known but samples. *Rung 1* is a small
transformer from scratch that writes digit by digit, educated by supervised learning with and without feedback in its
prompt; *rung 2* is SmolLM2-135M-Instruct with four solved examples in its prompt. Each is trained by
`distil_theory.llm.training.DistILTrainer` with every algorithm of the plan, from the same weights, on the same prompts,
and judged on the same held-out items, 16 answers each, drawn with the same seeds: differences are *paired*.

A run is an algorithm, a task and a seed. Runs are done seed by seed, so that whatever is finished is a whole smaller
table; a run saves its weights, optimiser and random numbers every few steps and goes on from there. `--minutes` ends a
piece of work in time; the same command goes on. `--workers` does several runs side by side. `--rung 2 --again` runs
its longer task with new seeds, to see whether they say what the first ones said. Tables,
`llm_validation_rung<n>_<name>.csv`:

* `power`: the minimum detectable effect, computed *before* the grid (`--power`), from binomial noise and a pilot;
* `curves`: success, length, entropy and loss of every training step;
* `items`: each run's held-out items, before and after: right answers, Maj@16, Pass@N, length, entropy;
* `metrics`: means of these over items, per algorithm and task;
* `paired`: differences to a reference algorithm, by seed, by item, and by both;
* `predictions`: what the toy world foretold (`predictions.py`), the difference, and whether it held;
* `runs`: seconds, machine, versions and code of every run.
"""

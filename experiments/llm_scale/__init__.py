r"""Rung 0 with larger networks and more tokens: why local forward CE was ahead in the tables and behind in the grids.

    python -m experiments.llm_scale [--quick] [--large] [--device cpu|cuda] [--minutes M] [--seed N] [--out DIR] ...

Everything is exact, as in `experiments.llm_bridge`, but on the prefix tree (`distil_theory.llm.tree`): answers of five
or six tokens, hundreds to thousands of prefixes, transformers of two layers. Five games; in `alike` several problems
have one prompt, so that the student sees less than its teacher. Networks are educated by lessons, then trained with
Adam at one rate on every objective, each objective with several teachers: the network that reads the feedback, frozen
or live, and exactly conditioned students. Differences are paired by seed. Three explanations are three dials
(`predictions.py`, written before the run): the teacher, what the student sees, the width.

Tables, `llm_scale_<name>.csv` (with `--large` `llm_scale_large_<name>.csv`):

* `networks`: return of students and teachers before training;
* `curves`: return, entropy, length over the steps, means over seeds with intervals;
* `paired`: differences to local forward CE, return averaged over the training (`mean_return`) and at its end;
* `predictions`: what was foretold, what was found, the verdict;
* `gradients`, `signs`: gradients by two routes, first steps predicted and taken;
* `efficiency`: first-order gain of each objective, for what it moves, as a share of the policy gradient's.

Work is done in pieces of a minute or less, which are found again under `--out`; `--minutes` ends in time, with the
tables of what is whole, and the same command goes on.
"""

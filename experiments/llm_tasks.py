"""What a small language model can do, and what it could do if somebody told it: every task, every kind of feedback.

    python -m experiments.llm_tasks [--tasks NAME ...] [--shots N] [--dtype bfloat16|float32] [--device DEVICE]
                                    [--quick] [--seed N] [--out DIR] [--jobs N]

SmolLM2-135M-Instruct answers held-out questions at temperature 1: as the student, and as the teacher that reads
feedback on the student's first answer. `llm_tasks_success.csv` has Avg, Maj, Best, Pass@N, length and entropy, and how
much better the teacher is, paired by question; `llm_tasks_examples.csv` the prompts of one question of each task. A
piece of work is a task; finished ones are found again under `--out`. `--quick` takes a tiny model of random weights,
offline, in seconds: it shows that everything runs, and nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch
import transformers
from rich.table import Table

from distil_theory import success
from distil_theory.llm import evaluate, models, tasks
from experiments import devices, harness
from experiments.harness import OKABE_ITO

ITEMS, SAMPLES = 32, 4
NOISE = 0.1
"""How often the critic errs."""
KEY = ["task", "field", "shots", "kind"]
LOOKS = {
    "none": ("black", "o"), "outcome": ("sky", "v"), "answer": ("blue", "s"), "trace": ("green", "D"),
    "critique": ("vermillion", "^"),
}  # fmt: skip


def options(parser: argparse.ArgumentParser) -> None:
    """`--tasks`, `--shots`, `--dtype`, `--device`."""
    parser.add_argument("--tasks", nargs="+", choices=tasks.NAMES, metavar="NAME", help="default: all")
    parser.add_argument(
        "--shots", type=int, choices=range(5), default=2, help="solved examples in a prompt (default 2)"
    )
    parser.add_argument("--dtype", choices=tuple(models.DTYPES), default="bfloat16", help="default bfloat16")
    devices.option(parser)


def measured(
    name: str, shots: int, items: int, samples: int, seed: int, folder: str, dtype: str, device: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Student and teachers on held-out items of a task: tables `success` and `examples`."""
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    model, tokenizer = models.load(folder, dtype, device)
    task = tasks.get(name, shots=shots, noise=NOISE)
    rows = task.rows("held_out", items, seed)
    attempts: list[str] = []
    found, shown, students = [], [], None
    for kind in tasks.KINDS:
        prompts = [task.teacher_prompt(row, y, kind) for row, y in zip(rows, attempts or [""] * items, strict=True)]
        table = evaluate.evaluate(model, tokenizer, task, rows, samples, seed=seed, prompts=prompts)
        if students is None:
            students, attempts = table, table["completion"][table["sample"] == 0].tolist()
        lines = evaluate.summary(table, (1, 2, 4, 8))
        better = (table["right"] - students["right"]).groupby(table["item"], sort=False).mean().to_numpy()
        gain = success.mean_over_prompts(better)
        lines.loc[len(lines)] = ["gain", 1, float(gain.value), float(gain.standard_error)]
        lines.loc[len(lines)] = ["length_sd", 1, float(table["length"].std()), float("nan")]
        found.append(lines.assign(task=name, field=task.field, shots=shots, kind=kind))
        written = table["completion"].iloc[0]
        shown.append((name, task.field, shots, kind, prompts[0], rows[0]["answer"], written))
    columns = [*KEY, "metric", "n", "value", "standard_error"]
    examples = pd.DataFrame(shown, columns=[*KEY, "prompt", "answer", "completion"])
    return pd.concat(found)[columns], examples


def draw(tables: harness.Tables, out: Path) -> list[str]:
    """Success of student and teachers, a line per task."""
    table = tables["success"].query("metric == 'avg'")
    names = table["task"].unique()[::-1]
    with plt.rc_context(harness.STYLE):
        figure, axes = plt.subplots(figsize=(6.75, 0.9 + len(names) / 3.6), layout="constrained")
        for i, (kind, (colour, marker)) in enumerate(LOOKS.items()):
            here = table[table["kind"] == kind].set_index("task").loc[names]
            axes.errorbar(
                here["value"], [y + (2 - i) / 7 for y in range(len(names))], xerr=here["standard_error"], fmt=marker,
                color=OKABE_ITO[colour], ms=3.5, lw=0.8, label="student" if kind == "none" else f"teacher: {kind}",
            )  # fmt: skip
        axes.set(xlim=(-0.02, 1.02), xlabel="success at temperature 1 (mean and standard error over questions)")
        axes.set_yticks(range(len(names)), names)
        axes.hlines([y + 0.5 for y in range(len(names) - 1)], -0.02, 1.02, color="#cccccc", lw=0.4)
        figure.legend(loc="outside upper center", ncols=5, handletextpad=0.1, columnspacing=1)
        harness.save_figure(figure, out / "llm_tasks")
        plt.close(figure)
    return ["llm_tasks.png", "llm_tasks.pdf"]


def summary(tables: harness.Tables) -> Table:
    """Success per task and kind."""
    table = Table(title="Success at temperature 1: the student, and the teacher that reads feedback")
    for heading in ("task", *tasks.KINDS, "tokens"):
        table.add_column(heading, justify="left" if heading == "task" else "right")
    for name, lines in tables["success"].groupby("task", sort=False):
        cells = lines[lines["metric"] == "avg"].set_index("kind")["value"]
        length = lines.query("metric == 'length' and kind == 'none'")["value"].item()
        table.add_row(str(name), *(f"{cells[kind]:.2f}" for kind in tasks.KINDS), f"{length:.1f}")
    return table


def violated(tables: harness.Tables) -> list[str]:
    """What is missing; how well a model answers contradicts no theorem."""
    return harness.empty(tables) or harness.gaps(tables, {"success": ["standard_error"], "examples": ["completion"]})


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment; exit status 1 if something is missing."""
    args = harness.command_line("llm_tasks", (__doc__ or "").splitlines()[0], argv, options)
    transformers.utils.logging.disable_progress_bar()
    folder = models.tiny(args.out / harness.CACHE / "tiny") if args.quick else models.smollm2()
    names = args.tasks or (("product", "stack_trace", "dimensions") if args.quick else tasks.NAMES)
    items, samples = (2, 2) if args.quick else (ITEMS, SAMPLES)
    work = [(name, args.shots, items, samples, args.seed, str(folder), args.dtype, args.device) for name in names]
    pieces = harness.run_tasks(measured, work, args, "tasks")
    told = {
        "model": "tiny, random" if args.quick else "SmolLM2-135M-Instruct, Q4_1 unpacked", "dtype": args.dtype,
        "device": args.device, "items": items, "samples": samples, "noise": NOISE, "temperature": 1,
        "torch": torch.__version__, "transformers": transformers.__version__,
    }  # fmt: skip
    found = {name: pd.concat([piece[i] for piece in pieces]) for i, name in enumerate(("success", "examples"))}
    harness.conclude("llm_tasks", args, found, draw, told, summary, violated)


if __name__ == "__main__":
    main()

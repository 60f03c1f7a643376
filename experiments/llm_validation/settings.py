"""The settings of both rungs, in full and quick, chosen with pilot seeds before the grids were run."""

from __future__ import annotations

from experiments.llm_validation.plan import ALGORITHMS, Setting

EDUCATION = {"steps": 1000, "batch": 64, "rate": 4e-3, "width": 64, "layers": 2}
RUNG_1 = Setting(
    rung=1, tasks=("free", "padded"), algorithms=tuple(ALGORITHMS), seeds=5, steps=60, prompts=8,
    generations=4, rate=1e-4, pool=400, items=48, save=30, education=EDUCATION,
)  # fmt: skip
RUNG_2 = Setting(
    rung=2, tasks=("dimensions_steps", "product"), algorithms=tuple(a for a in ALGORITHMS if not a.endswith("bare")),
    seeds=3, steps=60, prompts=2, generations=4, rate=2e-5, items=32, save=30, dtype="bfloat16",
    kinds={"dimensions_steps": "trace"},
)  # fmt: skip
AGAIN = RUNG_2.but(tasks=("dimensions_steps",))
"""What the first seeds of rung 2 found, asked of as many new ones."""
LARGE = RUNG_2.but(
    tasks=("dimensions_steps", "product", "expression_steps", "count_bits", "stack_trace", "lcm"),
    steps=150, prompts=4, generations=8, save=150, by_task=True,
    kinds={name: "trace" for name in ("dimensions_steps", "expression_steps", "stack_trace")},
)  # fmt: skip
"""Of a graphics card: three longer and three short tasks, in the order of value; seven processes do one seed of one
task at a time. More completions a step would cost memory, not the processor's time, which is what is short."""
GRIDS = {"rung1": RUNG_1, "rung2": RUNG_2, "rung2_again": AGAIN, "large": LARGE}
FIRST_SEED = {"rung2_again": RUNG_2.seeds}
"""Of the grids whose first seed is not 0."""
PILOT_SEEDS = {1: 2, 2: 1}
TRAINED_PILOT = {1: True, 2: False}
"""Whether the pilot is trained, or only judged before training."""


def setting(grid: str, quick: bool) -> Setting:
    """Of a grid; quick: the same branches on a tiny model, a few steps, a few items."""
    full = GRIDS[grid]
    if not quick:
        return full
    small = {**EDUCATION, "steps": 3, "batch": 8, "width": 16, "layers": 1}
    return full.but(
        seeds=2, steps=2, prompts=2, generations=2, pool=4, items=3,
        samples=4, save=2, education=small if full.rung == 1 else {},
    )  # fmt: skip

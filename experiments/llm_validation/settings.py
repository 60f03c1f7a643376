"""The settings of both rungs, in full and quick, chosen with pilot seeds before the grids were run."""

from __future__ import annotations

from experiments.llm_validation.plan import ALGORITHMS, Setting

EDUCATION = {"steps": 1000, "batch": 64, "rate": 4e-3, "width": 64, "layers": 2}
RUNG_1 = Setting(
    rung=1, tasks=("free", "padded"), algorithms=tuple(ALGORITHMS), seeds=5, steps=60, prompts=8,
    generations=4, rate=1e-4, pool=400, items=48, save=30, education=EDUCATION,
)  # fmt: skip
RUNG_2 = Setting(
    rung=2, tasks=("dimensions_steps", "product"), algorithms=tuple(ALGORITHMS)[:5], seeds=3, steps=60, prompts=2,
    generations=4, rate=2e-5, items=32, save=30, dtype="bfloat16", kinds={"dimensions_steps": "trace"},
)  # fmt: skip
LARGE = RUNG_2.but(
    tasks=("dimensions_steps", "product", "expression_steps", "count_bits", "stack_trace", "lcm"),
    algorithms=tuple(a for a in ALGORITHMS if not a.endswith("bare")), steps=150, prompts=8, generations=8, save=50,
    kinds={name: "trace" for name in ("dimensions_steps", "expression_steps", "stack_trace")},
)  # fmt: skip
"""Of a graphics card: three longer and three short tasks, in the order of value."""
PILOT_SEEDS = {1: 2, 2: 1}
TRAINED_PILOT = {1: True, 2: False}
"""Whether the pilot is trained, or only judged before training."""


def setting(rung: int, quick: bool, large: bool = False) -> Setting:
    """Of a rung; quick: the same branches on a tiny model, a few steps, a few items."""
    full = LARGE if large else {1: RUNG_1, 2: RUNG_2}[rung]
    if not quick:
        return full
    small = {**EDUCATION, "steps": 3, "batch": 8, "width": 16, "layers": 1}
    return full.but(
        seeds=2, steps=2, prompts=2, generations=2, pool=4, items=3,
        samples=4, save=2, education=small if rung == 1 else {},
    )  # fmt: skip

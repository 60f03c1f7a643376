"""A log of which everything is known: `python docs/diagnose_example.py` makes what `diagnose_example.md` shows.

The student is a small transformer with 2800 parameters that writes programs of three instructions; the teacher is the
same network with a solution in its context, one of several, and not the one that the student knows (`habit` of
`experiments.llm_bridge`). The script draws rollouts, writes the log, diagnoses it, and compares with the exact rates
and with what steps of the network really do.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import true_output

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from distil_theory import diagnose, objectives, solve  # noqa: E402
from distil_theory.diagnosis import Diagnosis  # noqa: E402
from distil_theory.divergences import FORWARD_KL, HELLINGER, JENSEN_SHANNON, REVERSE_KL, FDivergence  # noqa: E402
from experiments.diagnosis import truth  # noqa: E402
from experiments.diagnosis.games import Game  # noqa: E402
from experiments.harness import OKABE_ITO as C  # noqa: E402
from experiments.harness import STYLE  # noqa: E402
from experiments.llm_bridge_cases import INSTRUCTIONS, Case, educated  # noqa: E402

PAGE = ROOT / "docs" / "diagnose_example.md"
LOG, PICTURE = PAGE.with_suffix(".parquet"), PAGE.with_suffix(".png")
CASE = Case("habit", 16, (0,))
GROUPS, SIZE, SEED = 256, 8, 0
KL = 1e-4
"""Size of the steps that are really taken, per episode."""
STEPS: dict[str, tuple[str, FDivergence, str, bool]] = {
    "local/forward_kl": ("local forward KL", FORWARD_KL, "local", False),
    "sequence/forward_kl": ("prefix-weighted forward KL", FORWARD_KL, "local", True),
    "local/reverse_kl": ("local reverse KL", REVERSE_KL, "local", False),
    "sequence/reverse_kl": ("full reverse KL", REVERSE_KL, "full", False),
    "local/jensen_shannon": ("local Jensen-Shannon", JENSEN_SHANNON, "local", False),
    "local/hellinger": ("local squared Hellinger", HELLINGER, "local", False),
}
"""Name, divergence, part of the gradient, whether states are weighted by claim 2."""


def rollouts(game: Game, groups: int = GROUPS, size: int = SIZE, seed: int = SEED) -> pd.DataFrame:
    """A log with whole distributions: a row per rollout, groups together."""
    every = game.every
    places = every.draw((groups,), size, np.random.default_rng(seed))
    names = ("tokens", "student", "teacher", "student_full", "teacher_full")
    rows = [
        {"group": g, "reward": every.reward[i], **{name: getattr(every, name)[i].tolist() for name in names}}
        for g, row in enumerate(places)
        for i in row
    ]
    return pd.DataFrame(rows)


def compared(here: Any, game: Game, found: Diagnosis) -> pd.DataFrame:
    """Estimate, exact rate of a student free at every prefix, rate and real change of the network's step."""
    rows = []
    for name, (title, divergence, part, weighted) in STEPS.items():
        rate = next(r for r in found.rates if r.name == name)
        level, _, _ = name.partition("/")
        exact = truth.rate(game, level, divergence, found.clip)
        weight = objectives.occupancy_ratio(game.mdp, game.student, game.teacher) if weighted else None
        step = here.direction(here.score(game.teacher, divergence, part, weight), "natural", 0.1)
        eta = (KL / float(here.divergence(step))) ** 0.5
        change = here.change(step * eta)
        rows.append({"objective": title, "estimate": rate.value[0], "low": rate.low, "high": rate.high,
                     "verdict": rate.verdict, "exact": exact, "network": change.predicted / eta, "eta": eta,
                     "change": change.actual})  # fmt: skip
    return pd.DataFrame(rows)


def table(rows: pd.DataFrame) -> str:
    """The comparison as Markdown."""
    lines = [
        "| objective | estimate, 95 % interval | exact | verdict | network, damped natural step | step of KL 1e-4 "
        "changes the return by |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for r in rows.itertuples():
        said = f"{r.estimate:+.4f} [{r.low:+.4f}, {r.high:+.4f}] | {r.exact:+.4f} | {r.verdict}"
        lines.append(f"| {r.objective} | {said} | {r.network:+.4f} | {r.change:+.6f} |")
    return "\n".join(lines)


def draw(rows: pd.DataFrame, path: Path) -> None:
    """Estimates with intervals, exact rates, and the network's."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.75, 2.5), layout="constrained")
        y = np.arange(len(rows))[::-1]
        reach = [rows["estimate"] - rows["low"], rows["high"] - rows["estimate"]]
        told = "estimated from the log, 95 % interval"
        axis.errorbar(rows["estimate"], y, xerr=reach, fmt="o", color=C["blue"], ms=4, capsize=2, lw=1.2, label=told)
        told = "exact, a student free at every prefix"
        axis.plot(rows["exact"], y + 0.16, "|", color="black", ms=9, mew=1.6, label=told)
        told, taken = "what the network's step really did, per unit of step size", rows["change"] / rows["eta"]
        axis.plot(taken, y - 0.22, "D", color=C["vermillion"], ms=3.5, mfc="none", label=told)
        axis.axvline(0, color="0.5", lw=0.8, zorder=0)
        axis.set_yticks(y, rows["objective"])
        axis.set(xlabel="change of the return per unit of step size", ylim=(-0.6, len(rows) - 0.4))
        figure.legend(loc="outside lower center", ncols=1, fontsize=6.5)
        figure.savefig(path, metadata={"Software": None})
        plt.close(figure)


def parts() -> tuple[dict[str, str], pd.DataFrame, pd.DataFrame]:
    """What the page shows, the log, and the comparison."""
    (here,) = educated(CASE)
    game = Game("habit", here.player.game.mdp, here.student, here.self_teacher)
    log = rollouts(game)
    found = diagnose(log, words=INSTRUCTIONS)
    rows = compared(here, game, found)
    ours, theirs = (float(solve.expected_return(game.mdp, p)) for p in (game.student, game.teacher))
    returns = f"The student's return is {ours:.3f}, the teacher's {theirs:.3f}."
    return {"report": f"```text\n{found}\n```", "returns": returns, "comparison": table(rows)}, log, rows


def main() -> None:
    """Log, picture and page."""
    said, log, rows = parts()
    log.to_parquet(LOG, index=False, compression="zstd")
    draw(rows, PICTURE)
    true_output.write(PAGE, said)


if __name__ == "__main__":
    main()

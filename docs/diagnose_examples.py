"""The log of `docs/diagnose.md`; `python docs/diagnose_examples.py` writes what is found in it into that page.

Answers have three words: an opening, a method, an end. Two of the methods are right. The teacher is better, but has
nearly given up one of them, which the student uses most: `distil_theory.instances` has these numbers as the bandit of
smallest denominator that misleads reverse KL, (4, 2, 1)/7 against (1, 1, 5)/7.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import true_output

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
matplotlib.use("Agg")

from distil_theory import diagnose  # noqa: E402
from distil_theory.diagnosis import Diagnosis  # noqa: E402

PAGE, PICTURE = ROOT / "docs" / "diagnose.md", ROOT / "docs" / "diagnose.png"
WORDS = ("So", "Well", "count", "guess", "table", ".", "!")
STUDENT = np.array([[5, 5, 0, 0, 0, 0, 0], [0, 0, 4, 2, 1, 0, 0], [0, 0, 0, 0, 0, 6, 4]], dtype=float)
TEACHER = np.array([[6, 4, 0, 0, 0, 0, 0], [0, 0, 1, 1, 5, 0, 0], [0, 0, 0, 0, 0, 7, 3]], dtype=float)
PROMPTS, GROUP = 1500, 8


def log(*, whole: bool = False, read: bool = False, seed: int = 1) -> list[dict[str, Any]]:
    """Rollouts as dictionaries.

    Args:
        whole: with whole distributions.
        read: the teacher's context was made from the rollout itself: it expects what it has read.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    student, teacher = (x / x.sum(axis=1, keepdims=True) for x in (STUDENT, TEACHER))
    drawn = (rng.random((PROMPTS * GROUP, len(student), 1)) > student.cumsum(axis=1)).sum(axis=2)
    rollouts = []
    for i, tokens in enumerate(drawn.tolist()):
        answer = np.eye(len(WORDS))[tokens]
        p = 0.7 * teacher + 0.3 * answer if read else teacher
        rollout: dict[str, Any] = {"group": f"prompt {i // GROUP}", "reward": float(tokens[1] != 3)}
        with np.errstate(divide="ignore"):
            tables = {"student": np.log(student), "teacher": np.log(p)}
        rollout["tokens"] = tokens if whole else [WORDS[t] for t in tokens]
        for who, x in tables.items():
            rollout[who] = x[np.arange(len(tokens)), tokens].tolist()
            if whole:
                rollout[f"{who}_full"] = x.tolist()
        rollouts.append(rollout)
    return rollouts


def sampled() -> Diagnosis:
    """Of the log-probabilities of written tokens."""
    return diagnose(log())


def lines(found: Diagnosis, pattern: str) -> str:
    """The lines of a report that have this pattern."""
    return "\n".join(line for line in str(found).splitlines() if re.search(pattern, line))


def parts() -> dict[str, str]:
    """What belongs between the marks of the page."""
    whole, read = diagnose(log(whole=True), words=WORDS), diagnose(log(read=True))
    void = str(read).split("\n\n")[1:3]
    texts = {
        "sampled": str(sampled()),
        "whole": lines(whole, r"^  (objective|local|full|plain).* [0-9.]+ "),
        "read": "\n\n".join(void),
    }
    return {name: f"```text\n{text}\n```" for name, text in texts.items()}


def main() -> None:
    """Write the page, and the picture in it."""
    true_output.write(PAGE, parts())
    sampled().figure(PICTURE)


if __name__ == "__main__":
    main()

"""The algorithms of the field as settings. Change any with `but`: `DISTIL.but(eta=0.5)`.

Divergences differ in scale: near the teacher Jensen-Shannon pushes a quarter as hard as either KL. To compare them at
one size divide the step by `objective.divergence.unit`, `f''(1)`: `OPSD.but(eta=0.1 / JENSEN_SHANNON.unit)`.
"""

from __future__ import annotations

from distil_theory.algorithms.disagreement import Disagreement
from distil_theory.algorithms.loop import Algorithm
from distil_theory.algorithms.outcome import Outcome
from distil_theory.algorithms.teachers import Teacher
from distil_theory.algorithms.updating import Update
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL, JENSEN_SHANNON, REVERSE_KL

SELF = Teacher("feedback")
"""The student that has read the feedback, recomputed at every step."""
WARY = Teacher("feedback", trust=0.99)
"""The same with a doubt: reverse KL cannot bear a zero."""
SUCCESS = Teacher("success")
OPTIMAL = Teacher("optimal")

DISTIL = Algorithm("DistIL", SELF, Disagreement(FORWARD_KL))
"""Forward cross-entropy, local."""
DISTIL_CE_TO_GO = Algorithm("DistIL, CE-to-go", SELF, Disagreement(CROSS_ENTROPY, part="full", baseline="position"))
DISTIL_KL_TO_GO = Algorithm("DistIL, KL-to-go", SELF, Disagreement(FORWARD_KL, part="full", baseline="position"))
DISTIL_WEIGHTED = Algorithm("DistIL, prefix-weighted", SELF, Disagreement(FORWARD_KL, clip=float("inf")))
SDPO = Algorithm("SDPO", WARY, Disagreement(REVERSE_KL))
OPSD = Algorithm("OPSD", SELF, Disagreement(JENSEN_SHANNON))
GRPO = Algorithm("GRPO", None, Outcome(group=8))
RLVR = Algorithm("RLVR", None, Outcome(group=8, normalise=False))
"""The same without the standard deviation."""
DAGGER = Algorithm("DAgger", OPTIMAL, Disagreement(FORWARD_KL, states="all", labels=True), Update("proximal", eta=1.0))
"""Labels of the best expert at the student's states; the data of all rounds is kept."""
CLONING = Algorithm("cloning", OPTIMAL, Disagreement(FORWARD_KL, states="expert", labels=True))

ALGORITHMS = (
    *(DISTIL, DISTIL_CE_TO_GO, DISTIL_KL_TO_GO, DISTIL_WEIGHTED),
    *(SDPO, OPSD, GRPO, RLVR, DAGGER, CLONING),
)
BY_NAME = {algorithm.name: algorithm for algorithm in ALGORITHMS}


def named(name: str) -> Algorithm:
    """The preset with this name; `ValueError` if there is none."""
    if name not in BY_NAME:
        raise ValueError(f"unknown algorithm {name!r}: choose from {', '.join(BY_NAME)}")
    return BY_NAME[name]

r"""The exact value of whatever a log of rollouts estimates, by routes that share nothing with the estimators.

Local rates, prefix weights and the full reverse KL come from `objectives` (backward induction on the MDP). Sequence
levels are covariances over all rollouts, listed with their probabilities. Averages are over contexts:

    natural:   the rate is linear in `h(u)`, so hiding the feedback from the student averages it, no more;
    Euclidean: the rate of a step on one prompt's own loss (its states weigh `d^2` *within* the prompt), averaged;
    sequence:  `E_c Cov( R, h(Lambda) | c )`, the natural step of a student that chooses whole answers.

*The full reverse KL is the sequence-level one.* `log Lambda = sum_h log u_h`, so `E_pi sum_h KL(pi_h||pi*_h)` is the
reverse KL of the laws of whole answers. Free logits per prefix and free logits per answer describe the same laws of
full support, and a natural gradient does not depend on the parameters that describe them. So `improvement_rate(...,
REVERSE_KL, part="full")` equals `E_c Cov(R, log Lambda | c)`: a log of sampled tokens identifies it.
"""

from __future__ import annotations

import numpy as np

from distil_theory import estimators, objectives
from distil_theory.divergences import FORWARD_KL, REVERSE_KL, FDivergence
from experiments.diagnosis.games import Game


def local(game: Game, divergence: FDivergence) -> float:
    """The natural step on the local loss (claim 1)."""
    return float(objectives.improvement_rate(game.mdp, game.student, game.teacher, divergence))


def euclidean(game: Game, divergence: FDivergence) -> float:
    """The plain step on each context's own local loss, on the average over contexts."""
    rates = [
        objectives.improvement_rate(game.alone(c), game.student, game.teacher, divergence, "euclidean")
        for c in game.contexts
    ]
    return float(game.mdp.initial[game.contexts] @ np.array(rates))


def weighted(game: Game, clip: float = float("inf")) -> float:
    """Forward KL, prefix ratios clipped at `clip` (claim 15); without a clip it is the gap `J* - J` (claim 2)."""
    weight = estimators.mean_weight(game.mdp, game.student, game.teacher, clip)
    return float(objectives.improvement_rate(game.mdp, game.student, game.teacher, FORWARD_KL, weight=weight))


def sequence(game: Game, divergence: FDivergence) -> float:
    """`E_c Cov(R, h(Lambda) | c)`."""
    x = game.every
    h = divergence.h(x.ratio)
    return float(x.law @ (x.mean(x.reward * h) - x.mean(x.reward) * x.mean(h)))


def full(game: Game, divergence: FDivergence = REVERSE_KL) -> float:
    """The natural step on the full objective; of reverse KL the same as `sequence(game, REVERSE_KL)`."""
    return float(objectives.improvement_rate(game.mdp, game.student, game.teacher, divergence, part="full"))


def rate(game: Game, level: str, divergence: FDivergence, clip: float) -> float:
    """What a column of `distil_theory.diagnosis.rates` estimates."""
    if level == "clipped":
        return weighted(game, clip)
    return {"local": local, "euclidean": euclidean, "sequence": sequence, "full": full}[level](game, divergence)

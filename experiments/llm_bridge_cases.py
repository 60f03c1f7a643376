"""The games, students, objectives and optimisers of `experiments.llm_bridge`, as data."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch

from distil_theory import objectives
from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL, HELLINGER, JENSEN_SHANNON, REVERSE_KL, FDivergence
from distil_theory.instances.stack_machine import DOUBLE, SQUARE, stack_machine
from distil_theory.instances.token_mdp import TokenMDP
from distil_theory.instances.token_sum import token_sum
from distil_theory.instances.tokens import KNOWS_ONE_WAY
from distil_theory.llm import exact, pretrain
from distil_theory.llm.steps import Here

WIDTHS = (4, 16)
"""Too narrow to move every prefix freely, and wide enough (nearly always): claim 17, `networks.incompatibility`."""
EDUCATION, RATE = 150, 0.02
"""Steps and rate of Adam in `pretrain`."""
INSTRUCTIONS = ("DUP", "ADD", "MUL", "NOP")
PROBLEMS = ((0, 1), (2, 1), (8, 1), (4, 2))
"""Sums in base 3: no carry, one, one that runs through, two."""
STARTS_WITH_DUP = ("17/20", "1/20", "1/20", "1/20")


class Case(NamedTuple):
    """Networks to be judged, one per seed; everything that a piece of work depends on."""

    game: str
    width: int
    seeds: tuple[int, ...]
    device: str = "cpu"
    education: int = EDUCATION
    torch_version: str = torch.__version__


class Game(NamedTuple):
    """A token MDP, the reference student that educates its network, and whether its feedback is truthful."""

    label: str
    truthful: bool
    make: Callable[[], TokenMDP]
    reference: Callable[[TokenMDP, int], np.ndarray] = pretrain.reference


def one_way() -> TokenMDP:
    """Double and square; the teacher is shown the solution that begins with NOP."""
    tasks = (
        DOUBLE._replace(solution=("NOP", "DUP", "ADD")),
        SQUARE._replace(solution=("NOP", "DUP", "MUL")),
    )
    return stack_machine(tasks, INSTRUCTIONS, 3, "solution")


def other_way(rare: bool) -> Callable[[TokenMDP, int], np.ndarray]:
    """A student who knows a solution that begins with DUP; if `rare`, it hardly ever begins with NOP (the instances
    `shown_program` and `unfamiliar_program`, for both tasks, with a little noise on its logits)."""

    def reference(game: TokenMDP, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)

        def rule(problem: int, prefix: tuple[int, ...]) -> list[float]:
            order = [0, 2, 1, 3] if problem == 1 else [0, 1, 2, 3]  # to square: MUL where ADD doubles
            names = tuple(INSTRUCTIONS[order[a]] for a in prefix)
            words = KNOWS_ONE_WAY.get(names, "1/4 1/4 1/4 1/4").split()
            if rare and not names:
                words = list(STARTS_WITH_DUP)
            row = np.array([float(Fraction(words[i])) for i in order]) * np.exp(0.3 * rng.normal(size=4))
            return list(row / row.sum())

        return np.asarray(game.policy(rule))

    return reference


GAMES = {
    "sum": Game("sums, right digits shown", True, lambda: token_sum(3, 2, PROBLEMS, "trace")),
    "tests": Game("programs, tests shown", True, lambda: stack_machine(feedback="trace")),
    "solution": Game("programs, one solution shown", False, lambda: stack_machine(feedback="solution")),
    "habit": Game("the same, student knows another", False, one_way, other_way(rare=False)),
    "rare": Game("the same, and it starts rarely", False, one_way, other_way(rare=True)),
}


class Objective(NamedTuple):
    """What is minimised: `weighted` by the occupancy ratio, the mean of the prefix weights (claim 2)."""

    label: str
    divergence: FDivergence
    part: str = "local"
    weighted: bool = False


OBJECTIVES = {
    "forward_ce": Objective("local forward CE", CROSS_ENTROPY),
    "reverse_kl": Objective("local reverse KL", REVERSE_KL),
    "jensen_shannon": Objective("local Jensen-Shannon", JENSEN_SHANNON),
    "hellinger": Objective("local Hellinger", HELLINGER),
    "full_kl": Objective("full forward KL (KL-to-go)", FORWARD_KL, "full"),
    "full_ce": Objective("full forward CE (CE-to-go)", CROSS_ENTROPY, "full"),
    "prefix": Objective("prefix-weighted forward CE", CROSS_ENTROPY, "local", True),
}


class Optimiser(NamedTuple):
    """A first step: `name` of `steps.OPTIMISERS`, with the damping of the natural one."""

    label: str
    name: str
    damping: float = 1.0


OPTIMISERS = {
    "sgd": Optimiser("SGD", "sgd"),
    "adam": Optimiser("Adam, first step", "adam"),
    "natural": Optimiser("natural, damping 0.1", "natural", 0.1),
    "undamped": Optimiser("natural, damping $10^{-9}$", "natural", 1e-9),
}
TEACHERS = {"self": "itself with feedback", "exact": "exactly conditioned"}


def educated(case: Case) -> list[Here]:
    """The networks of a case after their first education, in float64 with weights that float32 can hold."""
    torch.set_num_threads(1)
    game = GAMES[case.game].make()
    born = [exact.network_for(game, width=case.width, seed=seed, device=case.device) for seed in case.seeds]
    player = exact.Player(game, born[0])
    targets = [GAMES[case.game].reference(game, seed) for seed in case.seeds]
    thetas = torch.stack([exact.flat(network) for network in born])
    return [
        Here(player, x) for x in pretrain.pretrained(player, targets, case.education, RATE, thetas).float().double()
    ]


def teacher(here: Here, name: str) -> np.ndarray:
    """The policy `(H,S,A)` of a teacher."""
    return here.self_teacher if name == "self" else here.player.conditioned(here.student)


def score(here: Here, expert: np.ndarray, objective: Objective) -> np.ndarray:
    """The gradient of an objective in the logits, `(H,O,A)`."""
    weight = objectives.occupancy_ratio(here.player.game.mdp, here.student, expert) if objective.weighted else None
    return here.score(expert, objective.divergence, objective.part, weight)

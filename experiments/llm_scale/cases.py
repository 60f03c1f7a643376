"""The games, teachers, objectives and settings of `experiments.llm_scale`, as data, and the networks to begin with."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from distil_theory.divergences import CROSS_ENTROPY, FORWARD_KL, JENSEN_SHANNON, REVERSE_KL, FDivergence
from distil_theory.instances.stack_machine import DOUBLE, SQUARE, program_rules
from distil_theory.instances.token_builder import Rules
from distil_theory.instances.token_sum import sum_rules
from distil_theory.llm import exact, tree, tree_game, tree_network
from distil_theory.llm.network import Network
from distil_theory.llm.tree_game import TreeGame
from distil_theory.llm.tree_network import TreePlayer

TRUST = 0.99
SKILLS = (0.5, 0.9)
"""Of the reference student, a share for each first token: it is better at some ways of beginning than at others."""


class Size(NamedTuple):
    """Of networks: their shape, the steps and the rate of Adam on the reference student, and the rate of training."""

    width: int
    layers: int
    education: int
    taught: float
    rate: float


class Setting(NamedTuple):
    """How large everything is.

    Attributes:
        base: of the sums, whose answers have `digits + 1` tokens.
        digits: of each summand.
        instructions: of a program, the last of them HALT.
        length: of a program.
        wide, narrow: the networks; a narrow one cannot represent every answer.
        games: names, in the order of value.
        seeds: networks side by side.
        steps: of training, by Adam at one rate for all objectives.
        faster: times that rate, to see whether a ranking depends on it.
        every: steps between two rows of the tables.
        prompts: per step, where rollouts are drawn; `group` answers to each.
        group: of GRPO, drawn or in expectation.
        judged: networks whose first steps are judged, in float64.
        iterations: of conjugate gradients in a natural step.
    """

    base: int = 3
    digits: int = 5
    instructions: tuple[str, ...] = ("DUP", "ADD", "MUL", "HALT")
    length: int = 5
    wide: Size = Size(32, 2, 60, 0.01, 0.0003)
    narrow: Size = Size(4, 1, 200, 0.02, 0.003)
    games: tuple[str, ...] = ("sum", "alike", "programs", "digits", "shown")
    seeds: int = 8
    steps: int = 60
    faster: float = 3.0
    every: int = 5
    prompts: int = 8
    group: int = 4
    judged: int = 2
    iterations: int = 40


class Game(NamedTuple):
    """What a game is called, whether its feedback excludes no right answer, and what it tells."""

    label: str
    truthful: bool
    hidden: bool = False


GAMES = {
    "sum": Game("sums, answer told", True),
    "alike": Game("sums that look alike, answer told", True, hidden=True),
    "programs": Game("programs, tests told", True),
    "digits": Game("sums, right digits told", True),
    "shown": Game("programs, one solution told", False),
}
HIDDEN_LAW = (0.5, 0.3, 0.2)
"""Of the three problems behind each prompt of `alike`."""


class Objective(NamedTuple):
    """What is minimised; `clip`: prefix weights, clipped there."""

    label: str
    divergence: FDivergence
    part: str = "local"
    clip: float | None = None


OBJECTIVES = {
    "forward_ce": Objective("local forward CE", CROSS_ENTROPY),
    "reverse_kl": Objective("local reverse KL", REVERSE_KL),
    "jensen_shannon": Objective("local Jensen-Shannon", JENSEN_SHANNON),
    "full_kl": Objective("full forward KL (KL-to-go)", FORWARD_KL, "full"),
    "full_ce": Objective("full forward CE (CE-to-go)", CROSS_ENTROPY, "full"),
    "prefix": Objective("prefix-weighted CE, clip 5", CROSS_ENTROPY, "local", 5.0),
}
OUTCOMES = {"policy_gradient": "policy gradient", "grpo": "GRPO (in expectation)"}
"""They need no teacher: all they are told is the outcome."""
LABELS = {name: o.label for name, o in OBJECTIVES.items()} | OUTCOMES
TEACHERS = {
    "network": "network that reads, frozen",
    "exact": "exactly conditioned, live",
    "network_live": "network that reads, live",
    "exact_frozen": "exactly conditioned, frozen",
    "stranger": "another student, conditioned",
}
"""`network`, as in the grids: the student as it was, with the feedback in its context. `exact`: the student conditioned
on what the feedback says. `stranger`: a student without habits, conditioned: right, but in nobody's way."""
LOCAL = ("forward_ce", "reverse_kl", "jensen_shannon")


class Case(NamedTuple):
    """Networks that are trained side by side; everything that a piece of work depends on."""

    game: str
    width: str
    first_seed: int
    setting: Setting
    device: str = "cpu"
    torch_version: str = torch.__version__

    @property
    def seeds(self) -> range:
        """One per network."""
        return range(self.first_seed, self.first_seed + self.setting.seeds)

    @property
    def size(self) -> Size:
        """Of its networks."""
        return self.setting.wide if self.width == "wide" else self.setting.narrow


def rules(name: str, setting: Setting) -> tuple[Rules, list[float] | None]:
    """The rules of a game, and the law of its problems."""
    base, digits = setting.base, setting.digits
    top = base**digits - 1
    if name in ("programs", "shown"):
        told = "trace" if name == "programs" else "solution"
        return program_rules((DOUBLE, SQUARE), setting.instructions, setting.length, told), None
    if name == "alike":  # the second summand is not shown
        pairs = [(x, y) for x in (top // 3, 2 * top // 3) for y in (1, top // 2, top)]
        made = sum_rules(base, digits, pairs, "answer")
        seen = [x._replace(prompt=(*x.prompt[: digits + 1], "=")) for x in made.problems]
        return made._replace(problems=seen), [w / 2 for _ in range(2) for w in HIDDEN_LAW]
    pairs = [(0, 1), (top, 1), (top // 2, top // 3), (top // 3, 2 * top // 3)]
    return sum_rules(base, digits, *((pairs, "answer") if name == "sum" else (pairs[1:3], "trace"))), None


def player(case: Case, dtype: torch.dtype = torch.float32) -> tuple[TreeGame, TreePlayer]:
    """The game in float64 on the CPU, and networks that play it."""
    torch.set_num_threads(1)
    game = tree_game.of_rules(*rules(case.game, case.setting))
    return game, TreePlayer(game, shape(case, game, dtype=dtype, device=case.device))


def shape(case: Case, game: TreeGame, **options: Any) -> Network:
    """A network of the size of a case."""
    return tree_network.network_for(game, width=case.size.width, layers=case.size.layers, **options)


def educated(case: Case) -> np.ndarray:
    """The weights `(B, P)` of the networks of a case after their first education, float32."""
    game, plays = player(case)
    like = plays.network.network.head.weight
    born = [shape(case, game, seed=seed, dtype=torch.float32) for seed in case.seeds]
    starts = torch.stack([exact.flat(network) for network in born]).to(like)
    asked = torch.stack([tree_network.reference(game, seed, SKILLS) for seed in case.seeds])
    told = tree.teacher(game, asked.log(), 1.0).exp()
    size = case.size
    learnt = tree_network.educated(plays, starts, asked.to(like), told.to(like), size.education, size.taught)
    return np.asarray(learnt.cpu())


def expert(name: str, plays: TreePlayer, start: torch.Tensor) -> torch.Tensor | None:
    """Log-probabilities `(B, C, N, A)` of a teacher that stays as it is; `None` for one that follows the student."""
    if name == "network":
        return plays.teachers(start)
    if name == "exact_frozen":
        with torch.no_grad():
            return tree.teacher(plays.game, plays.students(start), TRUST)
    if name == "stranger":
        flat = torch.zeros(1, plays.game.views, plays.game.tree.size, plays.game.tree.tokens)
        return tree.teacher(plays.game, flat.to(start).log_softmax(dim=-1), TRUST)
    return None


def following(name: str, plays: TreePlayer, thetas: torch.Tensor, log_pi: torch.Tensor) -> torch.Tensor:
    """The same for a teacher that follows the student."""
    return plays.teachers(thetas) if name == "network_live" else tree.teacher(plays.game, log_pi, TRUST)

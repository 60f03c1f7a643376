"""Truthful feedback: the expert is the student conditioned on success, `pi Q/V` (claims 9, 18), and what spoils it."""

from __future__ import annotations

from typing import Any

import flint
import numpy as np

from distil_theory import experts
from distil_theory import number_systems as ns
from distil_theory.instances.base import Instance, Successor, exact_instance, moves
from distil_theory.number_systems import Array
from distil_theory.spec import Bandit, TabularMDP

HALF = ("1/2", "1/2")


def lagged_teacher() -> Instance:
    """Claim 9: a teacher averaged over past students, 9/10 of it old, is not the student conditioned on success.

    Answers 1 and 2 are right, answer 3 half right. The old student hardly ever gave answer 1, the present one has
    learned it; the teacher remembers. It is still better than the student, and reverse KL unlearns answer 1.
    """
    bandit = Bandit(["1", "1", "1/2"])
    now, old = [[["1/3"] * 3]], [[["1/50", "24/50", "25/50"]]]
    past, present = (experts.success_conditioned(bandit.convert("rational"), _exact(p)) for p in (old, now))
    return exact_instance(
        "lagged_teacher",
        bandit,
        now,
        experts.ema(past, present, flint.fmpq(1, 10)),
        "truthful feedback, but an EMA of teachers: the natural step of reverse KL lowers the reward",
        ["question: newly learned answer, old answer, half right answer"],
    )


def chance_ahead() -> Instance:
    """Claim 18: looking ahead fails with truthful feedback once chance plays a part.

    State 0 is the fork (actions: left, right). After `left` a fair coin leads to state 1, where the student succeeds
    with probability 1/10000 and so differs vastly from its teacher, or to state 2, where it always succeeds; after
    `right` nothing is earned. What the coin does is held against `left`.
    """

    def leads_to(h: int, s: int, a: int) -> Successor:
        return s if s or h else ({1: "1/2", 2: "1/2"} if a == 0 else 3)

    reward = _table(4, {(1, 0): "1", (2, 0): "1", (2, 1): "1"})
    return _truthful(
        "chance_ahead",
        TabularMDP(moves(leads_to, 2, 4, 2), reward, [1, 0, 0, 0]),
        [HALF, ["1/10000", "9999/10000"], HALF, HALF],
        "truthful feedback and chance: the full gradient of forward KL lowers the return, the local one raises it",
        [
            *("fork: left, right", "bad luck: rare success, fail"),
            *("good luck: this, that", "after right: this, that"),
        ],
    )


def entropy_ahead() -> Instance:
    """Claim 18: looking ahead fails with truthful feedback if it counts cross-entropy.

    After `left` both actions are right and the student takes either; after `right` it earns 9/10 and has nothing left
    to say (all but 1/100 on one action). The teacher's own entropy, log 2 after `left`, is held against `left`.
    """
    reward = _table(3, {(1, 0): "1", (1, 1): "1", (2, 0): "9/10", (2, 1): "9/10"})
    return _truthful(
        "entropy_ahead",
        _fork(reward),
        [HALF, HALF, ["99/100", "1/100"]],
        "truthful feedback: the full gradient of cross-entropy lowers the return, that of forward KL raises it",
        ["fork: left, right", "after left, both right: this, that", "after right: full stop, go on"],
    )


def reward_before_the_end() -> Instance:
    """Claim 18: looking ahead fails with truthful feedback if rewards come before the end.

    `left` earns 1 at once, `right` 9/10. After `left` a hundredth may be earned by an action that the student takes
    with probability 1/100: student and teacher disagree much over little.
    """
    reward = _table(3, {(1, 0): "1/100"})
    reward[0, 0] = ["1", "9/10"]
    return _truthful(
        "reward_before_the_end",
        _fork(reward),
        [HALF, ["1/100", "99/100"], HALF],
        "truthful feedback, early rewards: the full gradient of forward KL lowers the return, the local one raises it",
        ["fork: left, right", "after left: rare success, fail", "after right: this, that"],
    )


def rare_way() -> Instance:
    """Claim 19: a truthful hint, and what goes wrong outside of the claim.

    Two tokens. The rare way (student 1/10) then needs the token that the student takes with 4/5, and is paid; the hint
    agrees with that and with all that follows the usual way, which earns nothing. The teacher is the student given it.
    """
    none = [[0, 0]] * 3
    return _hinted(
        "rare_way",
        _fork([none, [[0, 0], [1, 0], [0, 0]]]),
        [["1/10", "9/10"], ["4/5", "1/5"], HALF],
        [none, [[0, 0], [1, 0], [1, 1]]],
        "a truthful hint: Pearson, total variation, plain gradients and looking ahead lower the return",
        ["start: rare way, usual way", "rare way: right token, wrong token", "usual way: this, that"],
    )


def lost_way() -> Instance:
    """Claim 19: with three tokens and a teacher trusted to 99/100 the Neyman divergence fails a truthful hint, too.

    The rare way then once more the rare token earns 1; the usual second token may still agree with the hint, rarely.
    """

    def leads_to(h: int, s: int, a: int) -> Successor:
        return {(0, 0): 1 + a, (1, 1): 3 + a}.get((h, s), s)

    none, rare = [[0, 0]] * 5, ["1/10", "9/10"]
    return _hinted(
        "lost_way",
        TabularMDP(moves(leads_to, 3, 5, 2), [none, none, [[0, 0], [0, 0], [0, 0], [1, 1], [0, 0]]], [1, 0, 0, 0, 0]),
        [rare, rare, HALF, HALF, rare],
        [none, none, [[0, 0], [0, 0], [1, 1], [1, 1], [1, 0]]],
        "a truthful hint over three tokens: the Neyman divergence lowers the return",
        [
            *("start: rare way, usual way", "rare: rare way, usual way", "usual: this, that"),
            *("rare, rare: this, that", "rare, usual: rare way, usual way"),
        ],
        "99/100",
    )


def lucky_way() -> Instance:
    """Claim 19: a hint that is truthful, but nature tosses a coin on the way: forward KL falls.

    Problem 0 (state 0, probability 7/8): after `left` a coin decides whether the way is the one that agrees with the
    hint. Problem 1 (state 4) is like `rare_way`.
    """

    def leads_to(h: int, s: int, a: int) -> Successor:
        ways: dict[int, Successor] = {0: {1: "1/2", 2: "1/2"} if a == 0 else 3, 4: 5 if a == 0 else 2}
        return s if h else ways.get(s, s)

    none, rare = [[0, 0]] * 6, ["1/10", "9/10"]
    paid, agrees = ([none, [[0, 0], [1, 1], [0, 0], third, [0, 0], [1, 0]]] for third in ([0, 0], [1, 1]))
    return _hinted(
        "lucky_way",
        TabularMDP(moves(leads_to, 2, 6, 2), paid, ["7/8", 0, 0, 0, "1/8", 0]),
        [HALF] * 4 + [rare] * 2,
        agrees,
        "a truthful hint and chance: the local step of forward KL lowers the return",
        [
            *("problem A: left, right", "good luck: this, that", "bad luck: this, that"),
            *("after right: this, that", "problem B: rare way, usual way", "rare way: right token, wrong token"),
        ],
    )


def _hinted(
    name: str, mdp: TabularMDP, student: Any, agrees: Any, exposes: str, names: list[str], trust: str = "1"
) -> Instance:
    """The student acts alike at every step; its teacher, `trust`ed to a share, is the student given the hint."""
    pi, t = _exact([student] * mdp.shape[0]), _exact(trust)[()]
    judged = TabularMDP(mdp.transition, agrees, mdp.initial).convert("rational")
    expert = t * experts.success_conditioned(judged, pi) + (1 - t) * pi
    return exact_instance(name, mdp, pi, expert, exposes, names)


def _fork(reward: Any) -> TabularMDP:
    """Two steps, two actions: from state 0 action `a` leads to state `a + 1`; states 1 and 2 stay."""
    return TabularMDP(moves(lambda h, s, a: s if s or h else a + 1, 2, 3, 2), reward, [1, 0, 0])


def _table(states: int, last: dict[tuple[int, int], str]) -> Array:
    """Rewards `(2, S, 2)`, paid at the last step."""
    reward = np.full((2, states, 2), "0", dtype=object)
    for place, paid in last.items():
        reward[1, *place] = paid
    return reward


def _truthful(name: str, mdp: TabularMDP, student: Any, exposes: str, names: list[str]) -> Instance:
    """The student acts alike at both steps; the expert is the student conditioned on success."""
    pi = _exact([student] * 2)
    return exact_instance(name, mdp, pi, experts.success_conditioned(mdp.convert("rational"), pi), exposes, names)


def _exact(policy: Any) -> Array:
    return ns.convert(policy, "rational")

"""One decision, then a branch: what the student is like *after* an action is part of what the action is worth."""

from __future__ import annotations

from typing import Any

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import validate
from distil_theory.instances.base import Instance, Successor, biased, exact_instance, moves, rational
from distil_theory.spec import TabularMDP

HALF = ("1/2", "1/2")
START = ("1", "0", "0")


def risky_fork() -> Instance:
    """Claim 8: the expert is better at every state, yet the local forward-KL step lowers the return.

    State 0 is the fork (actions: safe, risky), 1 the risky state (good, bad), 2 the safe one, where nothing matters.
    """
    reward = [[["1/2", "0"], ["0", "0"], ["0", "0"]], [["0", "0"], ["1", "0"], ["0", "0"]]]
    return exact_instance(
        "risky_fork",
        _fork(reward, [2, 1]),
        [[["19/20", "1/20"], HALF, HALF], [HALF, ["1/10", "9/10"], HALF]],
        [[["1/10", "9/10"], HALF, HALF], [HALF, ["1", "0"], HALF]],
        "many steps: a better expert is not enough for the local step; weighting states by claim 2 repairs it",
        ["fork: safe, risky", "risky way: good, bad", "safe way: this, that"],
    )


def aliased_fork(k: int = 3, q: Any = "9/10", p: Any = "1/2", idle: Any = "1/2") -> Instance:
    """Claim 10a: looking ahead helps. `L` leads to `k` tokens that the student can only guess, `R` to a sure 9/10.

    At each token of the branch `L` a fair bit is drawn; only the expert sees it. The branch pays 1 if all `k` tokens
    equal their bits. So the expert, who takes `L` with probability `q`, earns `q + (1 - q) 9/10`; a student who takes
    `L` with probability `p` and guesses earns `p 2^-k + (1 - p) 9/10`. Local training ends at `p = q`: whether the
    student can follow the expert afterwards is nobody's business. In the full objective `L` costs `log 2` per token,
    and the best `p` in the class solves `-q/p + (1-q)/(1-p) + k log 2 = 0`.

    States: 0 the fork (actions `L`, `R`); 1..4 the branch `L`, `1 + bit + 2 failed`, all looking alike; 5 after `R`,
    where nothing matters and student and expert act alike. There forward KL charges nothing, cross-entropy
    charges the expert's entropy: with it the equation has `k (log 2 - Entropy(idle))`, for the default no
    charge at all.

    Args:
        k: tokens, at least 1; the horizon is `k + 1`.
        q: probability that the expert takes `L`.
        p: probability that the student takes `L`.
        idle: probability of the first action after `R`, of student and expert.
    """
    k = validate.whole("k", k, 1)
    q, p, idle = (rational(what, x) for what, x in (("q", q), ("p", p), ("idle", idle)))
    after_right = 5

    def leads_to(h: int, s: int, a: int) -> Successor:
        if s == after_right or (s == 0 and a == 1):
            return after_right
        failed_before, bit = divmod(s - 1, 2)
        failed = int(s > 0 and (failed_before or a != bit))
        return {1 + 2 * failed: "1/2", 2 + 2 * failed: "1/2"}

    reward = np.zeros((k + 1, 6, 2), dtype=int).astype(object)
    reward[0, 0, 1] = "9/10"
    reward[k, 1, 0] = reward[k, 2, 1] = 1
    guess, told, rest = [HALF] * 4, [[1, 0], [0, 1]] * 2, [biased(idle)]
    return exact_instance(
        "aliased_fork",
        TabularMDP(moves(leads_to, k + 1, 6, 2), reward, [1, 0, 0, 0, 0, 0], observation=[0, 1, 1, 1, 1, 2]),
        [[biased(p), *guess, *rest]] * (k + 1),
        [[biased(q), *told, *rest]] * (k + 1),
        "local forward KL follows the expert to where the student can only guess; looking ahead keeps it away",
        [
            "fork: L, R",
            *(f"branch L{failed}, bit {bit} | branch L: 0, 1" for failed in ("", " (failed)") for bit in (0, 1)),
            "after R: this, that",
        ],
    )


def spurious_disagreement() -> Instance:
    """Claim 10b: looking ahead hurts, when the disagreement ahead is harmless.

    State 0 is the fork (actions: left, right); 1, after `left`, where both actions earn 1 and student and expert
    disagree; 2, after `right`, earns nothing and student and expert agree.
    """
    reward = [[["0", "0"]] * 3, [["0", "0"], ["1", "1"], ["0", "0"]]]
    return exact_instance(
        "spurious_disagreement",
        _fork(reward, [1, 2]),
        [[HALF, ["1/10", "9/10"], HALF]] * 2,
        [[["3/5", "2/5"], ["9/10", "1/10"], HALF]] * 2,
        "the full gradient avoids a harmless disagreement and lowers the return; the local one raises it",
        ["fork: left, right", "after left, both right: this, that", "after right: this, that"],
    )


def entropy_trap() -> Instance:
    """Claim 10c: with cross-entropy the full objective charges an action for the expert's own entropy after it.

    State 0 is the fork (actions: long, short); 1, the long answer, where the expert tosses a fair coin and either side
    earns 1; 2, the short answer: nothing left to say (all but 1/100 on one action), nothing earned. Student and
    expert differ at the fork only. The expert itself is not at rest: at `pi = pi*` cross-entropy-to-go is
    `log 2` after `long`, `Entropy(1/100)` after `short`, so the step moves towards the short answer. KL-to-go is 0
    after both.
    """
    reward = [[["0", "0"]] * 3, [["0", "0"], ["1", "1"], ["0", "0"]]]
    short = ["99/100", "1/100"]
    return exact_instance(
        "entropy_trap",
        _fork(reward, [1, 2]),
        [[HALF, HALF, short]] * 2,
        [[["3/5", "2/5"], HALF, short]] * 2,
        "full cross-entropy favours short answers, even from the expert: it lowers the return; full KL raises it",
        ["fork: long, short", "long answer: heads, tails", "short answer: full stop, go on"],
    )


def _fork(reward: Any, after: list[int]) -> TabularMDP:
    """Two steps, two actions: from state 0 action `a` leads to `after[a]`; states 1 and 2 stay."""
    p = moves(lambda h, s, a: s if s or h else after[a], 2, 3, 2)
    return TabularMDP(p, ns.convert(reward, "rational"), START)

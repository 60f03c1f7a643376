r"""Claim 18b: a coin, then `n` tokens over which the student and its truthful teacher disagree about next to nothing.

State 0 is the fork. `left` leads by a fair coin to the *doubtful* branch, worth `q` on average, or to a state worth 1;
`right` leads to a state worth `b`. In the doubtful branch the student chooses `n` times between a good token and a bad
one; the good one multiplies what will be earned by `u_1 > 1`, the bad one by `u_2 < 1`, and on average nothing changes:
`pi_1 u_1 + pi_2 u_2 = 1`. So the truthful teacher has these ratios to the student at each of the `n` tokens, however
little `q` is: full agreement is far away, and worth almost nothing.
"""

from __future__ import annotations

import numpy as np

from distil_theory import experts, validate
from distil_theory import number_systems as ns
from distil_theory.instances.base import Instance, Successor, exact_instance, moves
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP


def doubtful_problem(token: Array, ratio: Array, q: Array, b: Array, n: int = 1) -> tuple[TabularMDP, Array]:
    """The problem and its student `(H,S,A,*B)`, `H = n + 1`, `S = n + 3`, in any number system.

    Args:
        token: the student's distribution over good and bad token, `(2,*B)`.
        ratio: what either token multiplies, `(2,*B)`; its mean under `token` is 1.
        q, b: what the doubtful branch and `right` are worth, `B`.
        n: doubtful tokens.

    States: 0 the fork; `1 + k` doubtful, after `k` good tokens; `n + 1` worth 1; `n + 2` worth `b`.
    """
    sure, right = n + 1, n + 2

    def leads_to(h: int, s: int, a: int) -> Successor:
        if h == s == 0:
            return right if a else {1: "1/2", sure: "1/2"}
        return min(s + 1, n) if 1 <= s <= n and a == 0 else s

    earned = [q * ns.power(ratio[0], k) * ns.power(ratio[1], n - k) for k in range(n + 1)]
    last = [[q * 0] * 2, *([earned[k + 1], earned[k]] for k in range(n)), [q * 0 + 1] * 2, [b + q * 0] * 2]
    paid = ns.stack([ns.stack(pair) for pair in last])
    half = (token * 0 + 1) / 2
    acts = ns.stack([half, *[token] * n, half, half])
    batch = (None,) * (token.ndim - 1)
    p = ns.convert(moves(leads_to, n + 1, n + 3, 2), ns.name(token))[(..., *batch)] + token[0] * 0
    start = ns.convert(np.eye(n + 3, dtype=int)[0], ns.name(token))[(..., *batch)] + token[0] * 0
    mdp = TabularMDP(p, ns.stack([*[paid * 0] * n, paid]), start, batch_ndim=len(batch))
    return mdp, ns.stack([acts] * (n + 1))


def doubtful_branch(n: int = 1) -> Instance:
    """Claim 18b: with chance, looking ahead fails a truthful teacher with every f-divergence.

    The student takes the good token with probability 1/10, its teacher with 9/10: ratios 9 and 1/9, at a stake of
    `q = 1/10000`; `right` earns 9/20, the coin a little more. One token is enough for the smooth divergences of the
    catalogue, total variation takes three; how small `q` and the advantage of `left` must be depends on the divergence.

    Args:
        n: doubtful tokens, at least 1.
    """
    n = validate.whole("n", n, 1)
    token, ratio = ns.convert(["1/10", "9/10"], "rational"), ns.convert(["9", "1/9"], "rational")
    q, b = (ns.convert(x, "rational") for x in ("1/10000", "9/20"))
    mdp, student = doubtful_problem(token, ratio, q, b, n)
    return exact_instance(
        "doubtful_branch",
        mdp,
        student,
        experts.success_conditioned(mdp, student),
        "truthful feedback and chance: the full gradient of every smooth divergence of the catalogue lowers the return",
        [
            "fork: left, right",
            *(f"doubtful, {k} good so far: good token, bad token" for k in range(n)),
            *("good luck: this, that", "after right: this, that"),
        ],
    )

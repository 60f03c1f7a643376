r"""Claim 8: in many steps it is not the better expert that makes the local step safe, but the local improver.

Unaliased, forward KL, natural step on the local loss, `A` the advantage of the student:

.. math:: \frac{dJ}{d\eta}\Big|_0 = \sum_h E_{s\sim d_h^\pi} E_{a\sim\pi^*}[A_h^\pi(s,a)]

It is `>= 0` if the expert is a local improver, `E_{pi*} Q^pi >= V^pi` in every state that the student visits
(AggreVaTe's condition). `V* >= V` in *every* state does not suffice: the risky fork, the horizon chain, a program
written token by token. How bad it gets, with rewards `>= 0` and all ratios `pi*/pi >= m` (which `m = 0` always is):

.. math:: \frac{dJ}{d\eta}\Big|_0 \ge -(1-m) H J(\pi) \ge -(1-m) H (1 - \delta),

the second if an episode earns 1 at most and the expert is better by `delta`; and with `H - 1` for `H` if `V* >= V` in
the states of the last step, all the more if it is in every state. Proof. (1) Claim 1 with `h(u) = u`: the rate is the
mean of `g_h(s) = E_{pi*} A_h` over the states of the student, so no negative `g`, no negative rate. (2) In a state
`g + (1-m) V = sum_a (pi* - m pi) Q`, and no term is negative. (3) `E V_h` is what is earned from step `h` on: at most
`J`, and `J` if rewards come at the end. Summed over `H` steps: the bound; `J = J* - gap <= 1 - delta`. (4) At the end
`g = V* - V`, so if that is not negative `H - 1` steps are left. (5) For `m = 0` both are tight: on a path worth
`1 - delta` an expert wants to leave at every step, the student leaves with probability `l` and hardly ever succeeds
(`c`) then; at step `h` it is still there with probability `(1-l)^h`, and `g_h = c - V_h = -(1-l)^(H-1-h) (1-delta-c)`.
So each step contributes the same, and as `l, c -> 0` the rate tends to `-(H-1) J`, or, if the expert also leaves when
it is too late, to `-H J`. (6) The three instances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import sympy

from distil_theory import instances, objectives, solve
from distil_theory import number_systems as ns
from distil_theory.claims import rollouts, symbols
from distil_theory.claims.ascents import tried
from distil_theory.claims.claim import Claim, Step
from distil_theory.divergences import FORWARD_KL
from distil_theory.falsify import Found, merge
from distil_theory.number_systems import Array
from distil_theory.spec import TabularMDP
from distil_theory.three_points import PI, STAR, R, total, vanish

STEPS, H, M = sympy.symbols("H h m", positive=True)
STAY, DELTA, SUCCEED = sympy.symbols("k delta c", positive=True)
LENGTHS = (2, 3, 4)
DEEP = 4
"""Horizon of the chains that are tried."""


def drift(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """`g_h(s) = E_{pi*} A_h^pi(s, .)`, shape `(H,S,*B)`."""
    return (expert * solve.advantage(mdp, student)).sum(axis=2)


def rate(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """By the library."""
    return objectives.improvement_rate(mdp, student, expert, FORWARD_KL)


def mean_drift() -> bool:
    """Step 1, by the code on the generic MDP."""
    mdp, student, expert = symbols.mdp()
    mean = (solve.occupancy(mdp, student) * drift(mdp, student, expert)).sum()
    return symbols.vanishes(symbols.only(rate(mdp, student, expert)) - mean)


def one_state() -> bool:
    """Step 2, any number of actions; `R` stands for `Q`, and `pi* - m pi = pi (u - m)`."""
    value, gained = total(PI * R), total(STAR * R) - total(PI * R)
    return vanish(sympy.expand(gained + (1 - M) * value - total((STAR - M * PI) * R)))


def still_to_come() -> bool:
    """Step 3: one transition of any MDP, and the code on the generic one, with rewards at both steps."""
    d, p, chance, r, v = sympy.symbols("d pi P r V")
    moved = symbols.vanishes(d * p * chance * (r + v) - d * p * chance * r - (d * p * chance) * v)
    mdp, student, _ = symbols.mdp()
    d, v = solve.occupancy(mdp, student), solve.values(mdp, student)[0]
    paid = [(d[h][:, None] * student[h] * mdp.reward[h]).sum() for h in range(2)]
    return moved and symbols.vanishes([(d[h] * v[h]).sum() - sum(paid[h:]) for h in range(2)])


def last_step() -> bool:
    """Step 4, by the code on the generic MDP."""
    mdp, student, expert = symbols.mdp()
    better = solve.values(mdp, expert)[0] - solve.values(mdp, student)[0]
    return symbols.vanishes((drift(mdp, student, expert) - better)[-1])


def chain_rate(steps: Any, leave: Any, delta: Any, succeed: Any, too_late: bool) -> Any:
    """Step 5: the rate that the terms of the steps add up to."""
    stays = (1 - leave) ** (steps - 1)
    worth = (1 - leave) * (1 - delta) if too_late else 1 - delta
    leaving = (steps - 1) * stays * (worth - succeed) + (stays * worth if too_late else 0)
    return (1 - stays) * (1 - succeed) - leaving


def each_step() -> bool:
    """Step 5, any h: what the path is worth at step `h` obeys `V_h = (1-l) V_{h+1} + l c`, and `(1-l)^h g_h` does not
    depend on `h`; and the limit, any H."""
    reach = STAY ** (STEPS - 1 - H)  # k = 1 - l
    value = reach * (1 - DELTA) + (1 - reach) * SUCCEED
    bellman = value - STAY * value.subs(H, H + 1) - (1 - STAY) * SUCCEED
    term = STAY**H * (SUCCEED - value) + STAY ** (STEPS - 1) * (1 - DELTA - SUCCEED)
    fine = all(bool(sympy.powsimp(sympy.expand(e)) == 0) for e in (bellman, term))
    ends = {STAY: 1, SUCCEED: 0}  # polynomials: the limit is the value
    for too_late, times in ((False, STEPS - 1), (True, STEPS)):
        limit = chain_rate(STEPS, 1 - STAY, DELTA, SUCCEED, too_late).subs(ends)
        fine &= symbols.vanishes(limit + times * (1 - DELTA)) and bool(value.subs(H, 0).subs(ends) == 1 - DELTA)
    return fine


def chains() -> bool:
    """Step 5, by the code, at so many points that they decide the polynomials in `l, delta, c`."""
    fine = True
    for steps in LENGTHS:
        for i, j, k in np.ndindex(steps + 2, 2, 2):
            leave, delta, succeed = (symbols.rational(f"{n + 1}/{d}") for n, d in ((i, 17), (j, 9), (k, 7)))
            for too_late, make in enumerate((instances.horizon_chain, instances.better_somewhere)):
                _, *instance, _ = make(steps, delta, leave, succeed)
                fine &= bool(rate(*instance) == chain_rate(steps, leave, delta, succeed, bool(too_late)))
    return fine


def better_is_not_enough() -> bool:
    """Step 6, in rationals: `V* >= V` in every state, and the rate is negative."""
    fine = True
    for make in (instances.risky_fork, instances.horizon_chain, instances.unfamiliar_program):
        _, mdp, student, expert, _ = make()
        better = solve.values(mdp, expert)[0] - solve.values(mdp, student)[0]
        fine &= not mdp.aliased and bool((better >= 0).all()) and bool(rate(mdp, student, expert) < 0)
    return fine


def improved(mdp: TabularMDP, student: Array, expert: Array, steps: Iterable[int]) -> Array:
    """The expert, but the student where `g < 0`, at the given steps."""
    worse = ns.isnegative(drift(mdp, student, expert))
    own = [h in steps for h in range(mdp.shape[0])]
    taken = worse & np.reshape(own, (-1, *[1] * (worse.ndim - 1)))
    return ns.where(taken[:, :, None], student + expert * 0, expert)


def slacks(mdp: TabularMDP, student: Array, expert: Array) -> list[Array]:
    """Rate plus bound of any expert, of one that is better at the last step, and of a local improver."""
    steps, found = mdp.shape[0], []
    earned = solve.expected_return(mdp, student)
    for count, mended in ((steps, ()), (steps - 1, (steps - 1,)), (0, range(steps))):
        star = improved(mdp, student, expert, mended)
        least = -ns.amax(-(star / student).reshape(-1, *star.shape[3:]), 0)
        found.append(rate(mdp, student, star) + count * (1 - least) * earned)
    return found


def margin(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """The least slack, relative to the return of the student."""
    earned = solve.expected_return(mdp, student)
    return np.min(slacks(mdp, student, expert), axis=0) / np.where(earned > 0, earned, 1)


def attack(margin: Callable[..., Array], n: int, seed: int) -> Found:
    """Random MDPs, most of them with a success bit at the end, and chains whose student hardly ever leaves."""
    found, some = [], -(-n // 30)
    for shape in rollouts.SHAPES:
        rng = np.random.default_rng([seed, *shape])
        p, r, rho, pi, star = rollouts.draw(rng, shape, some)
        late = rng.random(some) < 0.8
        r = np.where(late, (r > 0) * 1.0, abs(r))
        r[:-1] *= ~late
        found.append(tried(margin, p, r, rho, pi, star))
    for make in (instances.horizon_chain, instances.better_somewhere):
        _, mdp, _, star, _ = make(DEEP).convert("float64")
        leave, succeed = 10 ** rng.uniform(-12, -0.1, (2, some))
        delta = rng.uniform(0, 1 - succeed)
        many = [np.repeat(x[..., None], some, axis=-1) for x in (mdp.transition, mdp.reward, mdp.initial, star)]
        many[1][-1, 0] *= (1 - delta) / 0.9
        rows = np.stack([[1 - leave, leave], [1 - succeed, succeed]])
        parts = *many[:3], np.broadcast_to(rows, (DEEP, *rows.shape)), many[3]
        found.append(tried(margin, *parts))
    return merge(found)


CLAIM = Claim(
    slug="local_improver",
    number="8",
    title="in many steps the expert must be a local improver",
    statement=r"\frac{dJ}{d\eta}\Big|_0 = \sum_h E_{d_h^\pi} E_{\pi^*}[A_h^\pi] \ge -(1-m) H J(\pi),\quad \ge -(1-m)"
    r"(H-1) J(\pi) \text{ if } V^*_{H-1} \ge V_{H-1},\quad \ge 0 \text{ if } E_{\pi^*} Q^\pi \ge V^\pi",
    assumptions=(
        "the expert is a local improver",
        "better at the last step, for `H - 1`",
        "`r >= 0`, for the bounds",
        "forward KL",
        "natural or proximal step",
        "unrestricted student",
        "unaliased student",
    ),
    source="ours",
    scope="any `H`, `S`, `A`: state by state, action by action; tight: `m = 0`, the chains for any `H` by their"
    " terms, by the code for `H = 2, 3, 4`; the code on the generic MDP `H = S = A = 2`",
    steps=(
        Step("the rate is the mean of `g = E_{pi*} A`, by the code", mean_drift, "d* for d in Point.rate"),
        Step("`g + (1-m) V = sum (pi* - m pi) Q`, any `A`", one_state, "g + V"),
        Step(
            "the mean of `V_h` is what is earned from `h` on, by the code",
            still_to_come,
            "policy of the last step in solve.forward",
        ),
        Step("at the last step `g = V* - V`, by the code", last_step, "A = Q in solve.advantage"),
        Step(
            "the chain loses the same at every step; limits `-(H-1) J` and `-H J`, any `H`",
            each_step,
            "V_h = 1 - delta",
        ),
        Step("the chains' rates, by the code", chains, "the student's row off the path for that on it"),
        Step("better in every state is not enough: three instances, by the code", better_is_not_enough, "good at once"),
    ),
    margin=margin,
    holds_exactly=lambda *parts: all(bool(x >= 0) for x in slacks(*symbols.exact_mdp(*parts))),
    without={
        "the expert is a local improver": "horizon_chain.json",
        "better at the last step, for `H - 1`": "better_somewhere.json",
        "`r >= 0`, for the bounds": "only a shift: if an episode earns `c` at least, `J - c` takes the place of `J`",
        "forward KL": "teaching_reverse_kl.json",
        "natural or proximal step": "euclidean.json",
        "unrestricted student": "restricted.json",
        "unaliased student": "aliased.json",
    },
    panel="sequential_monotonicity_horizon.png",
    attack=attack,
)

r"""Claim 11e: errors on the expert's states compound, errors on one's own need not; and where cloning is as good.

If the student's total variation from the expert is at most `e` per step in the mean over the *expert's* states
(cloning), respectively over the *student's own* (DAgger), and rewards are in [0, 1],

.. math:: J(\pi^*) - J(\pi) \le \sum_h \mathrm{span}(Q_h^{\pi})\, e \le \tfrac{H(H+1)}{2}\, e, \qquad
          J(\pi^*) - J(\pi) \le \mu H e

(Ross & Bagnell 2010; Ross, Gordon & Bagnell 2011). But if the return of every rollout lies in `[0, R]`, then with `K =
sum_h E_{d_h^{pi*}} KL(pi*||pi)`, what cloning with the log-loss minimises (after Foster, Block & Misra 2024),

.. math:: J(\pi^*) - J(\pi) \le R\, TV(\text{rollouts}) \le R \sqrt{K/2}, \qquad
          \le R K \text{ for a deterministic expert.}

Proof. (1) Performance difference the other way round, `J* - J = sum_h E_{d_h^{pi*}} sum_a (pi* - pi) Q_h^pi`; span
times total variation (claim 11b). (2) `0 <= Q_h^pi <= H - h` by induction, and `sum_h (H - h) = H (H+1)/2`. (3) DAgger:
claim 11b's step 3 with `mu`. (4) *Both are attained* on the compounding chain, where one mistake costs 1 (`mu = 1`):
the clone is off the path after `h` steps with probability `x_h = (1 - (1 - 2e)^h)/2` and loses `sum_h x_h`, `H(H+1)/2`
times `e` to first order; the student of its own states loses `H e`. (5) `J` is a mean over rollouts, so span times
total variation again; and rollouts have the divergence `K`, as transitions cancel: the chain rule. Pinsker. (6) A
deterministic expert takes `a*`: `TV = 1 - E* prod pi(a*) <= -E* log prod pi(a*) = K`. (7) So a reward at the end (`R =
1`) leaves no square of the horizon: on the chain that pays at the end only, the clone loses `(1 - (1-2e)^H)/2 <= K = H
log 1/(1-e)`; and on the unforgiving chain, where own states do not help (`mu = R`), both lose `1 - (1-e)^H`, which is
`K` to first order. With a reward each step `R = H`, and `R K` is the square again. (8) No loss at all on the expert's
states means the same rollouts: no regret. No loss on *other* states, those of a data set, says nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy

from distil_theory import falsify, instances, solve, trajectories
from distil_theory import number_systems as ns
from distil_theory.claims import inequalities, links, return_regret, rollouts, symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.instances import Instance
from distil_theory.number_systems import Array
from distil_theory.online import bounds
from distil_theory.spec import TabularMDP
from distil_theory.three_points import vanish

ERRORS, HORIZONS = ("1/100", "1/3"), (1, 2, 5, 9)
H, N = sympy.symbols("h H", positive=True, integer=True)
ERR = sympy.Symbol("e", positive=True)


def expert_states() -> bool:
    """Step 1, by the code on the generic MDP of three steps."""
    mdp, student, expert = symbols.mdp(3)
    _, q = solve.values(mdp, student)
    found = links.visited(mdp, expert, ((expert - student) * q).sum(axis=2))
    return symbols.vanishes(links.gap(mdp, student, expert) - found) and inequalities.span_times_variation()


def ranges() -> bool:
    """Step 2: one more step adds a reward in [0, 1]; the sum; and the bound that is returned."""
    most = N - H  # and 0 after the last step
    added = sympy.Sum(most, (H, 0, N - 1)).doit() - N * (N + 1) / 2
    one_more = most - (1 + most.subs(H, H + 1))
    return vanish(one_more, most.subs(H, N), sympy.expand(added)) and bool(bounds.cloning(7, 0.5) == 14)


def own() -> bool:
    """Step 3: as claim 11b; and the bound that is returned."""
    return return_regret.own_states() and bool(bounds.dagger(3, 7, 0.5) == 10.5)


def off_path(h: Any, error: Any) -> Any:
    """Where the clone on the compounding chain is after `h` steps: the probability of being off the path."""
    return (1 - (1 - 2 * error) ** h) / 2


def attained() -> bool:
    """Step 4: the recursion, its start and slope at 0; and the chain's returns, by the code."""
    x = off_path(H, ERR)
    step = off_path(H + 1, ERR) - (x * (1 - ERR) + (1 - x) * ERR)  # off the path it errs with 1 - e; that is the loss
    good = vanish(sympy.simplify(step), off_path(0, ERR), x.diff(ERR).subs(ERR, 0) - H)
    for steps in HORIZONS:
        for error in ERRORS:
            e = symbols.rational(error)
            cloned, trained = (instances.compounding_chain(steps, error, off) for off in (None, e))
            good &= bool(cloned.gap == sum(off_path(h, e) for h in range(1, steps + 1)))
            good &= bool(trained.gap == steps * e) and bool(bounds.recoverability(cloned.mdp, cloned.expert) == 1)
    return good


def chain_rule() -> bool:
    """Step 5, by the code, over every rollout of the generic MDP: ratios multiply, and a sum of logs has that mean."""
    mdp, student, expert = symbols.mdp()
    every = trajectories.enumerate_all(mdp)
    p, better = (trajectories.probability(mdp, policy, every) for policy in (student, expert))
    ratio = every.along(expert / student, actions=True)
    logs = np.array(sympy.symbols(f"l1:{expert.size + 1}"), dtype=object).reshape(expert.shape)  # log u of each action
    mean = (better * every.along(logs, actions=True).sum(axis=0)).sum()
    found = links.visited(mdp, expert, (expert * logs).sum(axis=2))
    paid = ((better - p) * trajectories.returns(mdp, every)).sum() - links.gap(mdp, student, expert)
    return (
        symbols.vanishes(p * ratio.prod(axis=0) - better)
        and symbols.vanishes([mean - found, paid])
        and bool(np.isclose(bounds.cloning_log_loss(3.0, 0.5), 1.5, rtol=1e-15))
    )


def deterministic() -> bool:
    """Step 6, by the code: where the expert goes `p* - p` is not negative, and there is no `p*` elsewhere."""
    mdp, student, _ = symbols.mdp()
    expert = ns.convert(np.broadcast_to([1, 0], student.shape), "symbolic")
    every = trajectories.enumerate_all(mdp)
    p, better = (trajectories.probability(mdp, policy, every) for policy in (student, expert))
    there = ~ns.iszero(better)
    along = every.along(student, actions=True).prod(axis=0)
    mean = (better * along).sum()  # E* prod pi(a*)
    return (
        symbols.vanishes((better - p)[there].sum() - (1 - mean))
        and symbols.vanishes((better * along - p)[there])
        and inequalities.logarithm()
        and bool(bounds.cloning_log_loss(3.0, 0.5, deterministic=True) == 1.5)
    )


def paid_at_the_end(case: Instance) -> TabularMDP:
    """The same problem without the rewards before the last step."""
    reward = case.mdp.reward * 1
    reward[:-1] = 0 * reward[:-1]
    return TabularMDP(case.mdp.transition, reward, case.mdp.initial)


def at_the_end() -> bool:
    """Step 7: closed forms of both chains, and `K`: `1 - x^H <= -H log x` is `log y <= y - 1` at `y = x^H`."""
    good, x = inequalities.logarithm(), sympy.Symbol("x", positive=True)
    good &= vanish(sympy.expand_log(sympy.log(x**N)) - N * sympy.log(x))
    slopes = (1 - (1 - ERR) ** N).diff(ERR).subs(ERR, 0), (-N * sympy.log(1 - ERR)).diff(ERR).subs(ERR, 0)
    good &= vanish(slopes[0] - N, slopes[1] - N)
    for steps in HORIZONS:
        for error in ERRORS:
            e = symbols.rational(error)
            clone, lost = instances.compounding_chain(steps, error), instances.unforgiving_chain(steps, error)
            good &= bool(links.gap(paid_at_the_end(clone), clone.student, clone.expert) == off_path(steps, e))
            good &= bool(links.gap(paid_at_the_end(lost), lost.student, lost.expert) == 1 - (1 - e) ** steps)
            good &= bool(bounds.recoverability(paid_at_the_end(lost), lost.expert) == 1)
            good &= bool(lost.gap == sum(1 - (1 - e) ** h for h in range(1, steps + 1)))
            for case in (clone, lost):
                agree = ((case.expert * case.student).sum(axis=2) * (solve.occupancy(case.mdp, case.expert) != 0)).T[0]
                good &= bool((agree == 1 - e).all())  # on the path, where K = -H log(1 - e)
    return good


def other_states() -> bool:
    """Step 8: right on the path, and anything off it: no regret; right off it only: every other reward is lost."""
    good = True
    for steps in HORIZONS:
        _, mdp, student, expert, _ = instances.compounding_chain(steps)
        path, off = student * 1, expert * 1
        path[:, 0] = expert[:, 0]
        off[:, 0] = expert[:, 0, ::-1]
        good &= bool(links.gap(mdp, path, expert) == 0) and bool(links.gap(mdp, off, expert) == -(-steps // 2))
    return good


def margin(mdp: TabularMDP, student: Array, expert: Array) -> Array:
    """The least slack of the bounds that `online.bounds` returns, with the expert and with the sure one."""
    steps, out = mdp.shape[0], []
    for star, certain in ((expert, False), (links.sure(expert), True)):
        x = links.sizes(mdp, student, star)
        out += [
            x.weighted - x.lost,
            x.most * bounds.cloning(steps, x.theirs) - x.weighted,
            bounds.dagger(x.mu, steps, x.own) - x.lost,
            bounds.cloning_log_loss(x.whole, np.maximum(x.kl, 0), certain) - x.lost,  # rounded to below 0 it is 0
        ]
    return np.min(out, axis=0)


def holds_exactly(*parts: Array) -> bool:
    """The same of one MDP, in rationals and balls."""
    mdp, student, expert = symbols.exact_mdp(*parts)
    steps, good = mdp.shape[0], True
    with ns.precision(256):
        for star, certain in ((expert, False), (links.sure(expert), True)):
            x = links.sizes(mdp, student, star)
            good &= bool(x.lost <= x.weighted <= x.most * x.theirs * steps * (steps + 1) / 2)
            good &= bool(x.lost <= x.mu * steps * x.own)
            good &= bool(x.lost <= 0) or bool(
                x.lost <= x.whole * x.kl if certain else 2 * x.lost**2 <= x.whole**2 * x.kl
            )
    return good


def attack(margin: Callable[..., Array], n: int, seed: int) -> falsify.Found:
    """Random MDPs, and the compounding chain with ever rarer errors."""
    chain = links.parts(*instances.compounding_chain(3)[1:4])
    errors = 10.0 ** -np.arange(1, 7)
    batch = [np.repeat(ns.convert(x, "float64")[..., None], len(errors), axis=-1) for x in chain]
    batch[3] = np.stack([np.stack([1 - errors, errors]), np.stack([errors, 1 - errors])])[None].repeat(3, axis=0)
    batch[3][:, 1] = batch[3][:, 0]  # the clone
    transition, reward, initial, student, expert = batch
    attained = margin(TabularMDP(transition, reward, initial, batch_ndim=1), student, expert)
    return falsify.merge([rollouts.attack(margin, n, seed), falsify.smallest(attained, len(errors), *batch)])


CLAIM = Claim(
    slug="compounding_errors",
    number="11e",
    title="errors that compound, and where cloning is as good",
    statement=r"J(\pi^*) - J(\pi) \le \tfrac{H(H+1)}{2} e \text{ (cloning)}, \quad \le \mu H e \text{ (DAgger)}, \quad "
    r"\le R \sqrt{K/2}, \quad \le R K \text{ for a deterministic expert}, \quad "
    r"K = \sum_h E_{d_h^{\pi^*}} KL(\pi^*\|\pi)",
    assumptions=("rewards in [0, 1]", "own states for `mu H e`", "demonstrations of the expert itself"),
    source="classic",
    scope="any `A`, `S`, `H`; the code on the generic MDPs `S = A = 2`, `H = 2, 3`; chains of up to 9 steps, exactly",
    steps=(
        Step("performance difference on the expert's states, by the code", expert_states, "d of the student"),
        Step("`span(Q_h^pi) <= H - h`, which adds up to `H (H+1)/2`", ranges, "H^2/2"),
        Step("on the student's own states `mu H e`", own, "H forgotten in dagger"),
        Step("both attained on the compounding chain, by the code", attained, "the clone errs off the path as rarely"),
        Step("span times variation of rollouts; their KL, by the code", chain_rule, "the ratio of the last step only"),
        Step("a sure expert: variation at most `K`, by the code", deterministic, "K/2 for K"),
        Step("rewards at the end: cloning does not compound, by the code", at_the_end, "a slip that can be made good"),
        Step(
            "no loss on the expert's states is no regret, on others it says nothing", other_states, "right on it, too"
        ),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "rewards in [0, 1]": "only a scale: the bounds are multiplied by the range of a reward",
        "own states for `mu H e`": "the clone on the compounding chain has `mu = 1` and loses `e H (H+1)/2` to first "
        "order (a step)",
        "demonstrations of the expert itself": "a data set of other states: no loss on it, and every other reward lost "
        "(a step)",
    },
    panel="regret_horizon.png",
    attack=attack,
)

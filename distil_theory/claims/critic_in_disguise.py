r"""Claim 21b: a teacher conditioned on success is a critic in disguise: the policy gradient, with less noise.

`pi* = pi Q/V` says `pi*/pi - 1 = A/V`. Weighted by `V_h(s)` the natural step of local forward cross-entropy is the
natural policy gradient: its efficiency (claim 21) is 1, in any class of students and whatever they cannot see. *Prefix
weights* are these, path by path,

.. math:: \prod_{h' < h} \frac{\pi^*}{\pi} = \frac{V_h(s_h)}{V_0(s_0)} \quad \text{iff } Q_h(s, a) = V_{h+1}(s')
          \text{ for all } s' \text{ that may follow:}

where no luck decides (every token MDP paid at the end). The step is then `A / V_0(s_0)`, the gradient of `E log V_0`
(claim 12b): for a student who sees the state of efficiency 1 iff all prompts that matter have the same success. With
luck and one prompt the mean weight `d*/d` is `V/J` at every step iff `E[Q_h | s_{h+1}] = V_{h+1}` at every step; where
luck alone decides it is 1, as bad as none.

*Noise.* The answer is right, `z = 1`, with chance `R(tau)`. Three estimates of the policy gradient at `(h, s, a)` from
one rollout, each times `1[s_h = s]`:

- REINFORCE `G = z (1[a_h = a] - pi)`,
- *distil on your successes* `F = z (pi* - pi)`, which needs no `V`,
- the teacher weighted by `V`: `D = V (pi* - pi) = pi A`.

`F = E[G | s_h, z]` and `D = E[G | s_h] = E[F | s_h]`: Rao and Blackwell. So for every combination `v` of the entries of
one step `Var(v.D) <= Var(v.F) <= Var(v.G)`: entry by entry, in trace, and in every norm that does not mix steps, such
as Fisher's; `D` is below REINFORCE with any baseline of the state, too. *Over all steps together it fails*: two fair
coins must both fall heads; `G_0 = G_1` always, so their difference has no variance, that of `D_0` and `D_1` has. A
network, which shares parameters between steps, may see either.

Proof. (1) `V (u - 1) = Q - V`. (2) `u_h V_h = Q_h`: the product telescopes iff `Q_h = V_{h+1}` each time. (3) The mean:
two sums of the solver. (4) `P(a_h = a | s_h, z = 1) = pi Q/V`, so `E[G | s_h, z] = z (pi* - pi)`; and `E[z | s_h] = V`.
(5) The variance is that of the conditional mean plus the mean conditional one, which is a mean of squares. (6) The
coins.
"""

from __future__ import annotations

import numpy as np
import sympy

from distil_theory import efficiency, estimators, experts, solve, trajectories
from distil_theory import number_systems as ns
from distil_theory.aliasing import spread
from distil_theory.claims import rare_success, rollouts, symbols
from distil_theory.claims.claim import Claim, Step
from distil_theory.claims.success_bound import paid_at_the_end
from distil_theory.claims.truthful_lookahead import tree
from distil_theory.divergences import FORWARD_KL
from distil_theory.number_systems import Array
from distil_theory.spec import Bandit, TabularMDP
from distil_theory.updates import direction


def weights() -> bool:
    """Step 1, the code: the direction on the generic MDP, and on two contexts that look alike."""
    mdp, pi = paid_at_the_end()
    policy = symbols.bandit(2)[1]
    q = np.array(sympy.symbols("Q1:5", positive=True), dtype=object).reshape(2, 2)
    start = np.array(symbols.row("w", 2), dtype=object)
    alike, ok = Bandit(q, start, [0, 0]), True
    for problem, student in ((mdp, pi), (alike, np.concatenate([policy, policy], axis=1))):
        v, star = solve.values(problem, student)[0], experts.success_conditioned(problem, student)
        move = direction(problem, student, star, FORWARD_KL, weight=v)
        ok &= symbols.vanishes(move - efficiency.natural_policy_gradient(problem, student))
    return ok


def prefixes() -> bool:
    """Step 2: one more action, `(V_h / V_0) u_h = Q_h / V_0`; and the code's prefix ratios on the generic tree."""
    v, q, start = sympy.symbols("V_h Q_h V_0", positive=True)
    mdp, pi = tree()
    every = trajectories.enumerate_all(mdp)
    ratio = estimators.prefix_weights(mdp, pi, experts.success_conditioned(mdp, pi), every)
    value = solve.values(mdp, pi)[0]
    return symbols.vanishes((v / start) * (q / v) - q / start) and symbols.vanishes(
        ratio - every.along(value, actions=False) / value[0, 0]
    )


def luck() -> bool:
    """Step 3, the code on the generic MDP with one prompt: `J d* - d V = E[(Q - V) 1[s_1 = s]]`, `V` of the next."""
    mdp, pi = paid_at_the_end()
    one = TabularMDP(mdp.transition, mdp.reward, np.array([sympy.Integer(1), sympy.Integer(0)], dtype=object))
    v, q = solve.values(one, pi)
    ours, theirs = (solve.occupancy(one, policy)[1] for policy in (pi, experts.success_conditioned(one, pi)))
    added = (pi[0, 0][:, None] * one.transition[0, 0] * (q[0, 0][:, None] - v[1][None])).sum(axis=0)
    return symbols.vanishes(v[0, 0] * theirs - ours * v[1] - added)


def conditional_means() -> bool:
    """Step 4, every rollout of the generic MDP: `E[z (1[a_h = a] - pi*) 1[s_h]] = 0`, `E[(z - V) 1[s_h]] = 0`."""
    mdp, pi = paid_at_the_end()
    v, star = solve.values(mdp, pi)[0], experts.success_conditioned(mdp, pi)
    every = trajectories.enumerate_all(mdp)
    p, right = trajectories.probability(mdp, pi, every), trajectories.returns(mdp, every)
    ok = True
    for h, s in np.ndindex(2, 2):
        here = every.states[h] == s
        for a in range(2):
            left = (every.actions[h] == a) * sympy.Integer(1) - star[h, s, a]
            ok &= symbols.vanishes((p * right * left)[here].sum())
        ok &= symbols.vanishes((p * (right - v[h, s]))[here].sum())
    return ok


def coins() -> bool:
    """Step 6: two fair coins, the return 1 if both fall heads; entries of heads at the start and after heads."""
    half = ns.convert("1/2", "rational")[()]
    go, paid = np.zeros((2, 2, 2, 2), dtype=int), np.zeros((2, 2, 2), dtype=int)
    go[:, :, 0, 0] = go[:, :, 1, 1] = 1
    paid[1, 0, 0] = 1
    mdp, pi = TabularMDP(*(ns.convert(x, "rational") for x in (go, paid, [1, 0]))), np.full((2, 2, 2), half)
    every = trajectories.enumerate_all(mdp)
    p, z = trajectories.probability(mdp, pi, every), trajectories.returns(mdp, every)
    heads = (every.actions == 0) * 1 - half
    visited = (every.states == 0) * 1
    a = solve.advantage(mdp, pi)[:, 0, 0]
    noisy, calm = visited * heads * z, visited * (a * half)[:, None]
    gap = [x[0] - x[1] for x in (noisy, calm)]
    found = [(p * x * x).sum() - (p * x).sum() ** 2 for x in gap]
    return bool(found[0] == 0) and bool(found[1] == symbols.rational("1/64"))


def checks(mdp: TabularMDP, student: Array) -> tuple[Array, Array]:
    """What must not be negative, the two drops of the mean square, `(.., *B)`; what must be 0: differences of means and
    of `V`-weighted direction and advantage. Combinations: each entry alone, and the ratios, over every rollout."""
    v, star = solve.values(mdp, student)[0], experts.success_conditioned(mdp, student)
    every = rollouts.every(mdp)
    p, z = rollouts.probability(mdp, student, every), every.along(mdp.reward, actions=True).sum(axis=0)
    units = np.eye(student.shape[1] * student.shape[2], dtype=int).reshape(-1, *student.shape[1:3])
    tables = [unit[(None, ..., *[None] * (student.ndim - 3))] + student * 0 for unit in units]
    drops, zeros = [], []
    for x in (*tables, star / student):
        mean, taught = ((policy * x).sum(axis=2) for policy in (student, star))
        noisy = every.along(x - mean[:, :, None], actions=True)
        filtered, calm = (every.along(y, actions=False) for y in (taught - mean, v * (taught - mean)))
        squares = [(p * z * noisy**2).sum(axis=1), (p * z * filtered**2).sum(axis=1), (p * calm**2).sum(axis=1)]
        means = [(p * z * noisy).sum(axis=1), (p * z * filtered).sum(axis=1), (p * calm).sum(axis=1)]
        size = 1 + squares[0]
        drops += [(squares[i] - squares[i + 1]) / size for i in (0, 1)]
        zeros += [(means[i] - means[i + 1]) / size for i in (0, 1)]
    move = direction(mdp, student, star, FORWARD_KL, weight=v)
    gap = spread(mdp, move - efficiency.natural_policy_gradient(mdp, student))
    return ns.stack(drops), ns.stack([*ns.stack(zeros).reshape(-1, *gap.shape[3:]), *gap.reshape(-1, *gap.shape[3:])])


def margin(mdp: TabularMDP, student: Array) -> Array:
    """The least drop of a mean square, and of the error of an identity."""
    drops, zeros = checks(mdp, student)
    return np.minimum(drops.reshape(-1, drops.shape[-1]).min(axis=0), -abs(zeros).max(axis=0))


def holds_exactly(transition: Array, reward: Array, initial: Array, student: Array) -> bool:
    """Both for one problem, in rationals."""
    mdp, student, _ = symbols.exact_mdp(transition, reward, initial, student, student)
    drops, zeros = checks(mdp, student)
    return bool((drops >= 0).all()) and bool((zeros == 0).all())


CLAIM = Claim(
    slug="critic_in_disguise",
    number="21b",
    title="a teacher conditioned on success is a critic in disguise",
    statement=r"\pi^* = \pi Q^\pi/V^\pi \Rightarrow V\Big(\frac{\pi^*}{\pi} - 1\Big) = A^\pi, \quad "
    r"\mathrm{Cov}\,V(\pi^*-\pi) \preceq \mathrm{Cov}\,z(\pi^*-\pi) \preceq \mathrm{Cov}\,z(1_a-\pi) \text{ per step}",
    assumptions=(
        "truthful feedback on the present student",
        "states weighted by `V`",
        "prefix weights: one prompt",
        "prefix weights: no luck",
        "variance step by step",
    ),
    source="ours",
    scope="any `H`, `S`, `A`: state by state; the code: the generic MDP `H = S = A = 2` paid at the end, alike "
    "contexts, the tree `H = A = 2`",
    steps=(
        Step("weighted by `V` the direction is `A`, by the code", weights, "weight ignored in Point.weighted"),
        Step("prefix ratios are `V_h/V_0` without luck, by the code", prefixes, "pi/pi* in prefix_weights"),
        Step("what luck adds, in the mean, by the code", luck, "the flow of another step in solve.forward"),
        Step(
            "`E[G | s, z] = z (pi* - pi)`, `E[z | s] = V`, by the code", conditional_means, "Q/V without pi in experts"
        ),
        Step("the variance is a mean of squares, any number", rare_success.variance, "mean for the square"),
        Step("two coins: not over all steps together", coins, "A = Q"),
    ),
    margin=margin,
    holds_exactly=holds_exactly,
    without={
        "truthful feedback on the present student": "efficiency_fork.json",
        "states weighted by `V`": "efficiency_sharp.json",
        "prefix weights: one prompt": "efficiency_prompts.json",
        "prefix weights: no luck": "efficiency_luck.json",
        "variance step by step": "Over all steps together the order fails: step 6, two coins.",
    },
    panel="efficiency_variance.png",
    attack=rare_success.attack,
)

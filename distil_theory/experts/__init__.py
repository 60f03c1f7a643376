r"""Who teaches: experts as policies `(H,S,A,*B)`, from the best to the misled, with dials between them.

*From the problem alone.* `optimal`, by Bellman's backward induction. `soft_optimal` at temperature `tau` maximises
return plus `tau` times the entropy of its actions (Ziebart 2010):

    V_h(s) = tau log sum_a exp(Q_h(s,a) / tau),    pi*_h(a|s) = exp((Q_h(s,a) - V_h(s)) / tau).

*From the student's successes.* If rewards are a success bit at the end, `Q_h^pi(s,a)` is the probability of success
after `a`, and Bayes' rule gives the student *conditioned on success*, the ideal self-teacher with truthful feedback:

    pi*_h(a|s) = pi_h(a|s) Q_h^pi(s,a) / V_h^pi(s),    and pi where V = 0: what never happens teaches nothing.

With other rewards `>= 0` it is the student reweighted by them (Dayan & Hinton 1997; Peters & Schaal 2007). It raises
the value at every state: `E_{pi*} Q - V = Var_pi(Q) / V >= 0`, then the policy-improvement theorem.

*Spoiled, with a dial whose 0 is the clean expert.* `noisy`: the bit is wrong with probability `e`, so
`pi* ∝ pi [(1-e) Q + e (1-Q)]`; at 1/2 it says nothing and the expert is the student. `overconfident`: what tells the
expert from the student, counted too often: `pi* ∝ pi (pi*/pi)^(1 + excess)`. `collapsed`: a share of all probability
moves to the favourite action.

*What the expert may see.* A policy may depend on the state, which is more than the student sees if the MDP is aliased:
every expert here is *privileged* unless made otherwise. There are two ways to take the privilege away. `observed`
averages any expert over the states behind an observation, `E[pi*|o]` under the student's occupancy: of all policies
that see `o` only it minimises the local forward cross-entropy. `success_conditioned(..., privileged=False)` applies
Bayes' rule to the observation itself: `pi(a|o) E[Q|o] / E[V|o]`. They differ: the first counts each state behind `o` as
often as the student is there, the second as often as the student succeeds there. With the second, local forward
cross-entropy improves by `sum_h E_{d_h} Var_pi(E[Q|o]) / E[V|o] >= 0`: claim 9 survives aliasing if the teacher does
without its privilege.

*Moving and hidden.* `ema` lets a teacher follow slowly (Tarvainen & Valpola 2017). `sample` is a black box: it shows
actions and nothing else.

All is exact on rationals, except `soft_optimal` and fractional powers. Dials may be arrays over the batch.
"""

from distil_theory.experts.dials import collapsed, ema, overconfident, sample
from distil_theory.experts.teachers import noisy, observed, optimal, soft_optimal, success_conditioned

__all__ = [
    "collapsed",
    "ema",
    "noisy",
    "observed",
    "optimal",
    "overconfident",
    "sample",
    "soft_optimal",
    "success_conditioned",
]

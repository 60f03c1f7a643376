"""The named instances of the theory, in exact rationals: small enough to check with a pencil.

Each is a function that makes an `Instance`: the problem, a student, an expert, and one sentence on the failure that it
exposes. `instance.convert("float64")` (or `"ball"`, `"symbolic"`, `"torch"`) gives the same instance in other numbers,
`instance.names` are words for its states and actions.
Where a claim speaks about a limit (long horizons, extreme ratios), the function has parameters, with defaults.

================================== ===== ==============================================================================
instance                           claim what goes wrong, with forward KL unless another is named, and why
================================== ===== ==============================================================================
`teaching_bandit`                  5     right answers that the expert abandons: reverse KL, JS, Hellinger fail
`two_contexts`                     4     two actions, but two contexts: reverse KL fails
`euclidean_bandit`                 6a    plain gradient
`aliased_contexts`                 6c    hidden state
`risky_fork`                       8     many steps, states not weighted
`horizon_chain`                    8     the same at its worst, the expert better at every state: `-(H-1)(1 - delta)`
`better_somewhere`                 8     the same at its worst, the expert better: `-H J(pi)`
`success_euclidean`, `.._js`       9     truthful feedback, plain gradient: reverse KL, JS fail
`success_aliased`                  9     truthful feedback, hidden state
`privileged_grid`                  6c,10 the expert never needs the sign that the student should read
`aliased_fork`                     10a   no look ahead: the expert leads to where the student can only guess
`spurious_disagreement`            10b   look ahead: a disagreement without consequences
`entropy_trap`                     10c   look ahead with cross-entropy: the expert's own entropy
`compounding_chain`                11    cloning: the student's states are not the expert's
`unforgiving_chain`                11    DAgger: a slip cannot be made good
`lagged_teacher`                   9     truthful feedback, averaged over past students: reverse KL fails
`chance_ahead`                     18    truthful feedback, look ahead: chance
`entropy_ahead`                    18    truthful feedback, look ahead: cross-entropy
`reward_before_the_end`            18    truthful feedback, look ahead: early rewards
`doubtful_branch`                  18b   truthful feedback, look ahead, chance: any divergence may fail
`rare_way`, `lost_way`             19    a truthful hint: Pearson, total variation; Neyman fail
`lucky_way`                        19    a truthful hint and chance: forward KL fails
`hidden_trace`, `tested_program`   19    token MDPs, truthful feedback, hidden: nothing fails
`shown_program`                    3     a token MDP, one of several right answers shown: all but forward KL fail
`unfamiliar_program`               8     a token MDP, the answer shown begins with a rare token: forward KL fails
================================== ===== ==============================================================================

`garnet` is no instance but a family: random MDPs for sweeps.
"""

from distil_theory.instances.bandits import (
    aliased_contexts,
    euclidean_bandit,
    success_aliased,
    success_euclidean,
    success_euclidean_js,
    teaching_bandit,
    two_contexts,
)
from distil_theory.instances.base import Instance, exact_instance
from distil_theory.instances.chains import better_somewhere, compounding_chain, horizon_chain, unforgiving_chain
from distil_theory.instances.doubt import doubtful_branch
from distil_theory.instances.forks import aliased_fork, entropy_trap, risky_fork, spurious_disagreement
from distil_theory.instances.garnet import garnet
from distil_theory.instances.grid import Grid, privileged_grid
from distil_theory.instances.names import Names, named
from distil_theory.instances.tokens import hidden_trace, shown_program, tested_program, unfamiliar_program
from distil_theory.instances.truthful import (
    chance_ahead,
    entropy_ahead,
    lagged_teacher,
    lost_way,
    lucky_way,
    rare_way,
    reward_before_the_end,
)

__all__ = [
    "INSTANCES",
    "Grid",
    "Instance",
    "Names",
    "aliased_contexts",
    "aliased_fork",
    "better_somewhere",
    "chance_ahead",
    "compounding_chain",
    "doubtful_branch",
    "entropy_ahead",
    "entropy_trap",
    "euclidean_bandit",
    "exact_instance",
    "garnet",
    "hidden_trace",
    "horizon_chain",
    "lagged_teacher",
    "lost_way",
    "lucky_way",
    "named",
    "privileged_grid",
    "rare_way",
    "reward_before_the_end",
    "risky_fork",
    "shown_program",
    "spurious_disagreement",
    "success_aliased",
    "success_euclidean",
    "success_euclidean_js",
    "teaching_bandit",
    "tested_program",
    "two_contexts",
    "unfamiliar_program",
    "unforgiving_chain",
]

INSTANCES = (
    *(teaching_bandit, euclidean_bandit, aliased_contexts, two_contexts),
    *(success_euclidean, success_euclidean_js, success_aliased),
    *(risky_fork, horizon_chain, better_somewhere, compounding_chain, unforgiving_chain),
    *(aliased_fork, spurious_disagreement, entropy_trap, privileged_grid),
    *(lagged_teacher, chance_ahead, entropy_ahead, reward_before_the_end, doubtful_branch),
    *(rare_way, lost_way, lucky_way),
    *(hidden_trace, tested_program, shown_program, unfamiliar_program),
)
"""All named instances, as functions."""

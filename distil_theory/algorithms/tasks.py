r"""What is trained on: a problem, the feedback that only the teacher reads, and its arithmetic for a batch of students.

The loop meets one problem, or a batch of them, with a batch of students (instances, seeds, step sizes) many thousand
times. So a `Task` keeps the transition as a sparse matrix if the problem is a single one: in a token MDP every action
has one successor, and a dense product would mostly multiply zeros. Arrays always have *one* batch axis, the last.

*Prompts* are what the student sees when the episode starts. States that start with different feedback but look alike
are one prompt: success is counted per prompt, and a group of rollouts shares one.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse

from distil_theory import number_systems as ns
from distil_theory import solve, validate
from distil_theory.algorithms.attempts import Attempts
from distil_theory.instances.base import Instance
from distil_theory.instances.token_mdp import TokenMDP
from distil_theory.spec import TabularMDP


@dataclass(frozen=True, eq=False)
class Task:
    """A problem in float64, single or with one batch axis.

    Attributes:
        mdp: the problem `(H,S,A)`, `(H,S,A,B)` in a batch.
        likelihood: how likely the feedback is if *this* token ends the answer, `(H,S,A,*B)`: nothing is said before the
            last step; `None` if there is no feedback to read.
        expert: a given expert `(H,S,A,*B)`, or `None`.
        student: where training starts unless told otherwise, `(H,S,A,*B)`; default: uniform.
        finished: booleans `(S,)`: states in which the episode is over in all but name. Nothing is said or paid there,
            no disagreement is charged, and they do not count as length.
        attempts: who makes the first attempt that feedback is about: the student of the moment (`Attempts`), or
            `None`: the law of feedback stays what it is. The return does not depend on it, what is taught does.

    Raises:
        ValueError: another number system, more than one batch axis, arrays that do not fit.
    """

    mdp: TabularMDP
    likelihood: Any = None
    expert: Any = None
    student: Any = None
    finished: Any = None
    attempts: Attempts | None = None

    def __post_init__(self) -> None:
        mdp = self.mdp
        if not isinstance(mdp, TabularMDP):
            raise ValueError(f"a task needs a TabularMDP (or Task.of), not {type(mdp).__name__}")
        if ns.name(mdp.reward) != "float64":
            raise ValueError(f"the MDP is {ns.name(mdp.reward)}: use convert('float64') to train on it")
        if len(mdp.batch_shape) > 1:
            raise ValueError(f"a task has at most one batch axis, this MDP has batch shape {mdp.batch_shape}")
        for what in ("expert", "student"):
            policy = getattr(self, what)
            if policy is not None:
                object.__setattr__(self, what, solve.check_policy(mdp, policy, what))
        if self.likelihood is not None:
            table = ns.asarray(self.likelihood)
            validate.batched("likelihood", table, mdp.shape, ["h", "s", "a"])
            validate.finite("likelihood", table, ["h", "s", "a"])
            if table.shape[3:] not in ((), tuple(mdp.batch_shape)):
                raise ValueError(f"likelihood has batch shape {table.shape[3:]}, the MDP has {mdp.batch_shape}")
            if (table < 0).any() or self.paid_early(solve.align(table, 1, 3)):
                raise ValueError("likelihood must be >= 0, and 0 before the last step: it judges finished answers")
        over = np.zeros(mdp.shape[1], dtype=bool) if self.finished is None else np.asarray(self.finished)
        if over.shape != (mdp.shape[1],) or over.dtype != bool:
            raise ValueError(f"finished must be {mdp.shape[1]} booleans, one for each state, not {self.finished!r}")
        object.__setattr__(self, "finished", over)

    @classmethod
    def of(cls, problem: TabularMDP | TokenMDP | Instance | Task, *, own_attempts: bool = False) -> Task:
        """The task of a problem in any number system: a token MDP brings its feedback, an instance its expert.

        Args:
            problem: what to make a task of; a task is returned as it is.
            own_attempts: feedback is about attempts of the student of the moment, not of a reference.

        Raises:
            ValueError: no problem, or attempts where nobody says what feedback they get.
        """
        if isinstance(problem, Task) and not (own_attempts and problem.attempts is None):
            return problem
        game = problem if isinstance(problem, TokenMDP) else getattr(problem, "world", None)
        if own_attempts and not (isinstance(game, TokenMDP) and game.says):
            raise ValueError(f"own attempts need a token MDP with a verifier, not {type(problem).__name__}")
        extra: dict[str, Any] = {}
        if isinstance(game, TokenMDP):
            extra = {"likelihood": ns.convert(game.consistent, "float64"), "finished": game.halted}
            extra["attempts"] = Attempts.of(game) if own_attempts else None
        if isinstance(problem, TokenMDP):
            return cls(problem.mdp.convert("float64"), **extra)
        if isinstance(problem, Instance):
            own = problem.convert("float64")
            return cls(own.mdp, expert=own.expert, student=own.student, **extra)
        if not isinstance(problem, TabularMDP):
            raise ValueError(f"no task can be made of {type(problem).__name__}: give a TabularMDP, TokenMDP, Instance")
        return cls(problem.convert("float64"))

    def attempted_by(self, pi: np.ndarray) -> Task:
        """The same task with the feedback on attempts of the student `(H,S,A,B)`, if that is what feedback is about."""
        if self.attempts is None:
            return self
        # what does not depend on the law of the feedback is worked out once, here, and copied
        _ = self.sparse, self.back, self.judged, self.successor, self.tree, self.prompts
        here = copy.copy(self)
        here.__dict__.pop("initial_of", None)
        here.__dict__["initial"] = self.attempts.initial(pi)
        return here

    @cached_property
    def start(self) -> np.ndarray:
        """Students' first policy `(H,S,A,*B)`."""
        steps, states, actions = self.mdp.shape
        uniform = np.full((steps, states, actions), 1 / actions)
        return uniform if self.student is None else np.asarray(self.student)

    @cached_property
    def optimal(self) -> np.ndarray:
        """The best policy of who sees the state, `(H,S,A,*B)`."""
        return solve.optimal(self.mdp).policy

    @cached_property
    def judged(self) -> TabularMDP | None:
        """The MDP whose return is the likelihood of the feedback."""
        if self.likelihood is None:
            return None
        p, rho = self.mdp.transition, self.mdp.initial
        table = np.broadcast_to(solve.align(self.likelihood, len(self.mdp.batch_shape), 3), self.mdp.reward.shape)
        return TabularMDP(p, table, rho, None, self.mdp.observation, len(self.mdp.batch_shape))

    @cached_property
    def reward(self) -> np.ndarray:
        """`(H,S,A,B)`, `B` of length one for a single problem."""
        return solve.align(self.mdp.reward, 1, 3)

    @cached_property
    def initial(self) -> np.ndarray:
        """`(S,B)`."""
        return solve.align(self.mdp.initial, 1, 1)

    @cached_property
    def prompts(self) -> np.ndarray:
        """Observations with which an episode may start, `(P,)`."""
        return np.unique(self.mdp.observation[(self.initial > 0).any(axis=1)])

    @cached_property
    def initial_of(self) -> np.ndarray:
        """`rho` cut into its prompts, `(P,S,B)`."""
        return (self.mdp.observation == self.prompts[:, None])[:, :, None] * self.initial

    @cached_property
    def prompt_law(self) -> np.ndarray:
        """Probability of each prompt, `(P,B)`."""
        return self.initial_of.sum(axis=1)

    @cached_property
    def sparse(self) -> list[scipy.sparse.csr_array] | None:
        """`P_h` of a single problem as matrices `(S A, S')`, one per step, or one for all; `None` in a batch."""
        if self.mdp.batch_shape:
            return None
        steps, states, _ = self.mdp.shape
        rows = [scipy.sparse.csr_array(p.reshape(-1, states)) for p in self.mdp.transition[: self.kinds]]
        return rows * (steps // len(rows))

    @cached_property
    def back(self) -> list[scipy.sparse.csr_array]:
        """The transposes of `sparse`."""
        assert self.sparse is not None
        kinds = [p.T.tocsr() for p in self.sparse[: self.kinds]]
        return kinds * (len(self.sparse) // len(kinds))

    @cached_property
    def successor(self) -> np.ndarray | None:
        """The next state `(kinds,S,A)` of a single problem without chance; `None` otherwise."""
        p = self.mdp.transition[: self.kinds]
        return p.argmax(axis=3) if not self.mdp.batch_shape and (p.max(axis=3) == 1).all() else None

    @cached_property
    def reachable(self) -> np.ndarray:
        """Where an episode may be, `(H,S)`."""
        reached = [np.asarray((self.initial > 0).any(axis=1))]
        for h in range(self.mdp.shape[0] - 1):
            reached.append(self._ways(h, reached[-1]) > 0)
        return np.stack(reached)

    @cached_property
    def tree(self) -> bool:
        """Whether at each step at most one state and action lead to a state: then a path weight belongs to a state."""
        return all((self._ways(h, self.reachable[h]) <= 1).all() for h in range(self.mdp.shape[0] - 1))

    def _ways(self, h: int, here: np.ndarray) -> np.ndarray:
        """How many pairs of state and action lead to each state at step `h + 1`, `(S,)`."""
        return (solve.align(self.mdp.transition[h], 1, 3)[here] > 0).any(axis=3).sum(axis=(0, 1))

    def most(self, reward: np.ndarray) -> float:
        """The largest sum of rewards `(H,S,A,B)` that a rollout may collect."""
        best = reward[-1].max(axis=1)
        for h in reversed(range(len(reward) - 1)):
            if self.successor is not None:
                ahead = best[self.successor[min(h, len(self.successor) - 1)]]
            else:
                possible = solve.align(self.mdp.transition[h], 1, 3) > 0
                ahead = np.where(possible, best, -np.inf).max(axis=2)
            best = (reward[h] + ahead).max(axis=1)
        return float(best[(self.initial > 0).any(axis=1)].max())

    def paid_early(self, reward: np.ndarray) -> bool:
        """Whether a reward `(H,S,A,B)` is met before the last step."""
        return bool((reward[:-1] != 0).any(axis=(2, 3))[self.reachable[:-1]].any())

    @property
    def kinds(self) -> int:
        """How many different transitions there are: one if stationary."""
        return 1 if self.mdp.stationary else self.mdp.shape[0]

    def backward(self, pi: np.ndarray, reward: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values `(H,S,B)` and action values `(H,S,A,B)` of a policy `(H,S,A,B)` for any reward `(H,S,A,B)`."""
        steps, states, actions = self.mdp.shape
        q = np.array(np.broadcast_to(reward, np.broadcast_shapes(pi.shape, reward.shape)))
        v = np.empty((steps, states, q.shape[-1]))
        for h in reversed(range(steps)):
            if h < steps - 1:
                if self.sparse is not None:
                    q[h] += (self.sparse[h] @ v[h + 1]).reshape(states, actions, -1)
                else:
                    q[h] += ns.contract(self.mdp.transition[h], v[h + 1])
            v[h] = (pi[h] * q[h]).sum(axis=1)
        return v, q

    def forward(self, pi: np.ndarray, initial: np.ndarray) -> np.ndarray:
        """Occupancy `(H,S,B)` of a policy `(H,S,A,B)` from any start `(S,B)`, which need not sum to one."""
        steps, states, _ = self.mdp.shape
        d = np.empty((steps, states, np.broadcast_shapes(pi.shape[3:], initial.shape[1:])[0]))
        d[0] = initial
        for h in range(steps - 1):
            flow = d[h][:, None] * pi[h]
            if self.sparse is not None:
                d[h + 1] = self.back[h] @ flow.reshape(-1, flow.shape[-1])
            else:
                d[h + 1] = np.einsum("iab,iajb->jb", flow, self.mdp.transition[h])
        return d

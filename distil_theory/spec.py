r"""What a problem *is*: finite-horizon MDPs and bandits, frozen and validated (THEORY section 0).

A `TabularMDP` has steps `h = 0..H-1`, states `s`, actions `a`, transition probabilities `P_h(s'|s,a)`, rewards
`r_h(s,a)` and an initial distribution `rho(s)`. After step `H-1` the episode is over. A bandit is `H = S = 1`; a
contextual bandit is `H = 1`.

*Index order, batch last.* `transition[h,s,a,s',*B]`, `reward[h,s,a,*B]`, `initial[s,*B]`, and policies are plain
arrays `policy[h,s,a,*B]`. `stack` makes a batch; every function of the library then works on all instances at once.
One MDP may also meet a batch of policies.

*What the student sees.* `observation[s]` is the observation index in state `s` (default: the state itself,
*unaliased*). A student's action probabilities may depend on the state only through it; the expert's may depend on
the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from distil_theory import number_systems as ns
from distil_theory import validate
from distil_theory.batching import compact
from distil_theory.number_systems import Array


@dataclass(frozen=True, eq=False)
class TabularMDP:
    """A finite-horizon MDP, or a batch of them.

    Args:
        transition: `P_h(s'|s,a)`, shape `(S, A, S')` if `horizon` is given (stationary), else `(H, S, A, S')`.
        reward: `r_h(s,a)`, shape `(S, A)` if `horizon` is given, else `(H, S, A)`.
        initial: `rho(s)`, shape `(S,)`.
        horizon: number of steps `H` of a stationary MDP; its arrays are repeated by view, not copied.
        observation: what the student sees in each state, `S` whole numbers covering `0..O-1`; default: the state.
        batch_ndim: how many batch axes follow in `transition`, `reward` and `initial`.

    After construction `transition`, `reward` and `initial` always have the full shapes `(H,S,A,S',*B)`, `(H,S,A,*B)`,
    `(S,*B)`, in one number system, read-only.

    Raises:
        ValueError: wrong or mixed shapes, rows that are no distributions, non-finite rewards, a horizon that is no
            positive whole number, an observation map out of range, an empty axis.
    """

    transition: Array
    reward: Array
    initial: Array
    horizon: Any = None
    observation: Any = None
    batch_ndim: int = 0

    def __post_init__(self) -> None:
        batch_ndim = validate.whole("batch_ndim", self.batch_ndim, 0)
        stationary = self.horizon is not None
        steps = validate.whole("horizon", self.horizon, 1) if stationary else 0
        p, r, rho = ns.common(*(ns.asarray(x) for x in (self.transition, self.reward, self.initial)))
        batch = tuple(p.shape[p.ndim - batch_ndim :])
        batch_axes = ["batch"] * batch_ndim
        axes = ([] if stationary else ["h"]) + ["s", "a", "s'"]
        hint = " (horizon given: no leading step axis)" if stationary else " (no horizon given: leading step axis)"
        validate.shape("transition" + hint, p, [None] * (len(axes) + batch_ndim), axes + batch_axes)
        lead = tuple(p.shape[: len(axes) - 1])
        states = lead[-2]
        validate.shape("transition", p, (*lead, states, *batch), axes + batch_axes)
        validate.shape("reward" + hint, r, (*lead, *batch), axes[:-1] + batch_axes)
        validate.shape("initial", rho, (states, *batch), ["s", *batch_axes])
        validate.distribution("transition", p, axes, len(axes) - 1)
        validate.finite("reward", r, axes[:-1])
        validate.distribution("initial", rho, ["s"], 0)
        # copies: a frozen spec must not change with the caller's arrays
        p, r, rho = compact(p), compact(r), compact(rho)
        if stationary:
            p, r = (ns.broadcast_to(x[None], (steps, *x.shape)) for x in (p, r))
        seen = range(states) if self.observation is None else self.observation
        seen = validate.observation_map(seen, states)
        values = {"transition": p, "reward": r, "initial": rho, "horizon": int(p.shape[0]), "observation": seen}
        for field, value in values.items():
            if isinstance(value, np.ndarray):
                value = value.view()
                value.flags.writeable = False
            object.__setattr__(self, field, value)

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(H, S, A)`."""
        return tuple(self.reward.shape[:3])

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """`B`, the trailing axes; `()` for a single MDP."""
        return tuple(self.reward.shape[3:])

    @cached_property
    def observations(self) -> int:
        """`O`, the number of distinct observations."""
        return int(self.observation.max()) + 1

    @cached_property
    def behind(self) -> tuple[np.ndarray, ...]:
        """The states behind each observation."""
        return tuple(np.flatnonzero(self.observation == o) for o in range(self.observations))

    @property
    def aliased(self) -> bool:
        """Whether two states look the same to the student."""
        return self.observations < self.shape[1]

    @property
    def stationary(self) -> bool:
        """Whether every step is a view of one transition and one reward array."""
        return self.shape[0] > 1 and all(
            (x.stride() if ns.is_torch(x) else x.strides)[0] == 0 for x in (self.transition, self.reward)
        )

    def convert(self, to: str) -> TabularMDP:
        """The same MDP in another number system (`number_systems.NAMES`)."""
        one = self.stationary
        p, r = (ns.convert(x[0] if one else x, to) for x in (self.transition, self.reward))
        horizon = self.horizon if one else None
        return TabularMDP(p, r, ns.convert(self.initial, to), horizon, self.observation, len(self.batch_shape))

    @classmethod
    def from_gymnasium(cls, env_or_id: Any, horizon: int) -> TabularMDP:
        """A toy-text environment (anything with a table `P` and `initial_state_distrib`) as a stationary float MDP.

        `P[s][a] = [(p, s', r, terminated), ...]` becomes expected rewards; duplicate successors are summed, and
        `terminated=True` leads to one extra absorbing state of reward zero, whatever the table says about goal rows.

        Args:
            env_or_id: an environment or the id of one.
            horizon: number of steps `H`.

        Raises:
            ValueError: the environment has no table, or its rows are no distributions.
        """
        import gymnasium

        horizon = validate.whole("horizon", horizon, 1)
        env = gymnasium.make(env_or_id) if isinstance(env_or_id, str) else env_or_id
        table, initial = (
            getattr(getattr(env, "unwrapped", None), field, None) for field in ("P", "initial_state_distrib")
        )
        if table is None or initial is None:
            raise ValueError(f"{env} has no table `P` with `initial_state_distrib`: not a tabular environment")
        states, actions = len(table), len(table[0])
        absorbing = states
        p = np.zeros((states + 1, actions, states + 1))
        r = np.zeros((states + 1, actions))
        p[absorbing, :, absorbing] = 1
        for s in range(states):
            if len(table[s]) != actions:
                raise ValueError(f"table P has {len(table[s])} actions at s={s}, {actions} at s=0")
            for a in range(actions):
                for probability, successor, reward, terminated in table[s][a]:
                    if not 0 <= successor < states:
                        raise ValueError(
                            f"table P leads from s={s}, a={a} to {successor}: out of range 0..{states - 1}"
                        )
                    p[s, a, absorbing if terminated else successor] += probability
                    r[s, a] += probability * reward
        return cls(p, r, np.append(initial, 0.0), horizon)


class Bandit(TabularMDP):
    """A (contextual) bandit: one step, reward `r(a)` or `r(s, a)`.

    Args:
        reward: `(A,)`, or `(S, A)` for a contextual bandit, then with `initial`.
        initial: context distribution `(S,)`; omitted for a plain bandit.
        observation: as in `TabularMDP`.
        batch_ndim: how many batch axes follow in `reward` (and `initial`).

    Raises:
        ValueError: as `TabularMDP`.
    """

    def __init__(self, reward: Any, initial: Any = None, observation: Any = None, *, batch_ndim: int = 0) -> None:
        r = ns.asarray(reward)
        batch_axes = ["batch"] * validate.whole("batch_ndim", batch_ndim, 0)
        axes = ["a"] if initial is None else ["s", "a"]
        validate.shape("reward", r, [None] * (len(axes) + batch_ndim), axes + batch_axes)
        if initial is None:
            r = r[None]
        validate.finite("reward", r[None], ["h", "s", "a"])
        if initial is None:
            rho = ns.broadcast_to(_one_like(r), (1, *r.shape[2:]))
        else:
            rho = ns.asarray(initial)
            r, rho = ns.common(r, rho)
        # nothing follows the only step: one broadcast entry stands for "go to context 0"
        states = r.shape[0]
        row = ns.stack([_one_like(r)[0] * (1 if s == 0 else 0) for s in range(states)])
        row = row.reshape(1, 1, 1, states, *(1 for _ in batch_axes))
        p = ns.broadcast_to(row, (1, *r.shape[:2], states, *r.shape[2:]))
        super().__init__(p, r[None], rho, None, observation, batch_ndim)


def _one_like(x: Array) -> Array:
    """The number one in the system of `x`, shape `(1,)`."""
    return x.reshape(-1)[:1] * 0 + 1


def stack(specs: Sequence[TabularMDP]) -> TabularMDP:
    """Equally shaped MDPs with one observation map as a batch, along a new last axis.

    Raises:
        ValueError: no specs, or shapes, observation maps or number systems that differ; the message names the first.
    """
    specs = [] if specs is None or isinstance(specs, TabularMDP) else list(specs)
    if not all(isinstance(spec, TabularMDP) for spec in specs):
        raise ValueError(f"stack takes TabularMDPs, not {[type(spec).__name__ for spec in specs]}")
    if not specs:
        raise ValueError("stack of an empty list: a batch needs at least one MDP")
    first = specs[0]
    for i, spec in enumerate(specs):
        if (spec.shape, spec.batch_shape) != (first.shape, first.batch_shape):
            raise ValueError(
                f"spec {i} has (H, S, A) + batch = {spec.shape + spec.batch_shape}, "
                f"spec 0 has {first.shape + first.batch_shape}"
            )
        if not np.array_equal(spec.observation, first.observation):
            raise ValueError(f"spec {i} has observation map {spec.observation}, spec 0 has {first.observation}")
        if ns.name(spec.reward) != ns.name(first.reward):
            raise ValueError(f"spec {i} is {ns.name(spec.reward)}, spec 0 is {ns.name(first.reward)}")
    one = all(spec.stationary for spec in specs)
    p, r = (
        ns.stack([getattr(spec, field)[0] if one else getattr(spec, field) for spec in specs], axis=-1)
        for field in ("transition", "reward")
    )
    rho = ns.stack([spec.initial for spec in specs], axis=-1)
    horizon = first.horizon if one else None
    return TabularMDP(p, r, rho, horizon, first.observation, len(first.batch_shape) + 1)

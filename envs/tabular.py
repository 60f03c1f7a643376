"""Any single problem of the library, played one step at a time: the gymnasium view of a `TabularMDP` or `Instance`.

The library computes expectations; an environment draws samples. Both read the same arrays, so a rollout's mean return
must agree with `solve.expected_return`, and `TabularMDP.from_gymnasium` must give the MDP back (`tests/test_envs.py`).

*States.* Time is part of the state in a finite horizon: the optimal action may change as the end comes nearer. State
`(h, s)` has the flat index `i = h * S + s`, so `h, s = divmod(i, S)`. One more state, `i = H * S`, means "over":
reaching it is `terminated=True`. Nothing is ever truncated here: that word belongs to `TimeLimit`, an outside clock.

*Observations.* The student sees `h * O + observation[s]`, and `H * O` at the end. With the default observation map that
is the flat state itself. In an *aliased* MDP two states look the same, and only the privileged expert may read the
state, in `info["state"]`.

*Drawing.* Each pair of state and action has its cumulative probabilities, and a step is one uniform number and a binary
search among them; a step that chance has no part in draws nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import gymnasium
import numpy as np

from distil_theory import number_systems as ns
from distil_theory.instances import Instance, named
from distil_theory.spec import TabularMDP

Outcome = tuple[float, int, float, bool]
"""`(probability, next state, reward, terminated)`"""


class TabularEnv(gymnasium.Env[Any, Any]):
    """Play a problem of the library.

    Args:
        problem: a `TabularMDP`, no batch, float64; or an `Instance`, in any number system.
        render_mode: `"ansi"` (text), `"rgb_array"` (picture) or None.

    Attributes:
        mdp: the problem itself, float64.
        instance: the instance, float64, with `student` and `expert` tables `(H,S,A)`; None for a bare MDP.
        names: words for states and actions.
        P: the table `P[i][a] = [(p, j, r, terminated), ...]` over flat states, as in gymnasium's toy-text environments.
        initial_state_distrib: probability of each flat state at reset.
        state: the flat state now; `over` is the last one.
        played: `(state, action, reward)` of each step of this episode.

    Raises:
        ValueError: a batch, another number system, or an unknown render mode.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 2}  # noqa: RUF012  # as the parent

    def __init__(self, problem: TabularMDP | Instance, render_mode: str | None = None) -> None:
        self.instance = problem.convert("float64") if isinstance(problem, Instance) else None
        self.mdp = mdp = problem if isinstance(problem, TabularMDP) else problem.mdp.convert("float64")
        if mdp.batch_shape:
            raise ValueError(f"an environment plays one MDP, not a batch of shape {mdp.batch_shape}")
        if ns.name(mdp.reward) != "float64":
            raise ValueError(f"the MDP is {ns.name(mdp.reward)}: use mdp.convert('float64') to play it")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode {render_mode!r} is none of {self.metadata['render_modes']}")
        self.names = named(mdp) if self.instance is None else self.instance.names
        self.render_mode = render_mode
        horizon, states, actions = mdp.shape
        self.over = horizon * states
        self.observation_space = gymnasium.spaces.Discrete(horizon * mdp.observations + 1)
        self.action_space = gymnasium.spaces.Discrete(actions)
        self.initial_state_distrib = np.zeros(self.over + 1)
        self.initial_state_distrib[:states] = mdp.initial
        self.P: dict[int, dict[int, list[Outcome]]] = {
            i: {a: self._outcomes(i, a) for a in range(actions)} for i in range(self.over + 1)
        }
        self._draws = [{a: _to_draw(outcomes) for a, outcomes in row.items()} for row in self.P.values()]
        starts = np.flatnonzero(mdp.initial).tolist()
        self._starts = _cumulative(mdp.initial[starts]), starts
        self._seen = [h * mdp.observations + int(o) for h in range(horizon) for o in mdp.observation]
        self._seen.append(horizon * mdp.observations)
        self.state = self.over  # nothing is played before the first reset
        self.played: list[tuple[int, Any, float]] = []

    def _outcomes(self, i: int, a: int) -> list[Outcome]:
        """What may follow action `a` in flat state `i`."""
        horizon, states, _ = self.mdp.shape
        if i == self.over:
            return [(1.0, self.over, 0.0, True)]
        h, s = divmod(i, states)
        r = float(self.mdp.reward[h, s, a])
        if h == horizon - 1:  # the last step: whatever the transition says, the episode is over
            return [(1.0, self.over, r, True)]
        row = self.mdp.transition[h, s, a]
        return [(float(row[t]), (h + 1) * states + int(t), r, False) for t in np.flatnonzero(row)]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Draw the first state from the initial distribution."""
        super().reset(seed=seed)
        cumulative, states = self._starts
        self.state = states[bisect_right(cumulative, self.np_random.random()) if cumulative else 0]
        self.played = []
        return self._seen[self.state], {"state": self.state}

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Draw one of `P[state][action]`.

        Raises:
            ValueError: there is no such action.
        """
        try:
            cumulative, after, reward, terminated = self._draws[self.state][action]
        except (KeyError, TypeError):  # no such action, or an array around one
            if not self.action_space.contains(action):
                raise ValueError(f"action {action!r} is not in {self.action_space}") from None
            return self.step(int(action))
        if self.state != self.over:
            self.played.append((self.state, action, reward))
        self.state = after[bisect_right(cumulative, self.np_random.random()) if cumulative else 0]
        return self._seen[self.state], reward, terminated, False, {"state": self.state}

    def render(self) -> Any:
        """Where we are, what the student sees of it, what it and its expert would do, and what was earned so far.

        Returns:
            Text of at most 80 columns (`"ansi"`), pixels `(height, width, 3)` (`"rgb_array"`), or None.
        """
        if self.render_mode == "ansi":
            from envs.text import page

            return page(self)
        if self.render_mode == "rgb_array":
            from envs.picture import frame

            return frame(self)
        return None


def _cumulative(p: Any) -> list[float]:
    """Cumulative probabilities without the last, which is one: no draw falls off the end. Empty if nothing is drawn."""
    return [float(x) for x in np.cumsum(p)[:-1]]


def _to_draw(outcomes: list[Outcome]) -> tuple[list[float], list[int], float, bool]:
    """Outcomes of one state and action, which share reward and end, ready to be drawn from."""
    p, after, rewards, ends = zip(*outcomes, strict=True)
    return _cumulative(p), list(after), rewards[0], ends[0]

"""Any single MDP of the library, played one step at a time: the gymnasium view of a `TabularMDP`.

The library computes expectations; an environment draws samples. Both read the same arrays, so a rollout's mean return
must agree with `solve.expected_return`, and `TabularMDP.from_gymnasium` must give the MDP back (`tests/test_envs.py`).

*States.* Time is part of the state in a finite horizon: the optimal action may change as the end comes nearer. State
`(h, s)` has the flat index `i = h * S + s`, so `h, s = divmod(i, S)`. One more state, `i = H * S`, means "over":
reaching it is `terminated=True`. Nothing is ever truncated here: that word belongs to `TimeLimit`, an outside clock.

*Observations.* The student sees `h * O + observation[s]`, and `H * O` at the end. With the default observation map that
is the flat state itself. In an *aliased* MDP two states look the same, and only the privileged expert may read the
state, in `info["state"]`.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from distil_theory import number_systems as ns
from distil_theory.spec import TabularMDP

Outcome = tuple[float, int, float, bool]
"""`(probability, next state, reward, terminated)`"""

CELL = 24  # pixels
PAPER, INK, MARK = (255, 255, 255), (200, 200, 200), (213, 94, 0)  # the mark is Okabe-Ito vermillion


class TabularEnv(gymnasium.Env[Any, Any]):
    """Play a single float MDP.

    Args:
        mdp: the problem, no batch, float64.
        render_mode: `"ansi"` (text), `"rgb_array"` (picture) or None.

    Attributes:
        mdp: the problem itself.
        P: the table `P[i][a] = [(p, j, r, terminated), ...]` over flat states, as in gymnasium's toy-text environments.
        initial_state_distrib: probability of each flat state at reset.
        state: the flat state now.

    Raises:
        ValueError: a batch, another number system, or an unknown render mode.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}  # noqa: RUF012  # as the parent

    def __init__(self, mdp: TabularMDP, render_mode: str | None = None) -> None:
        if mdp.batch_shape:
            raise ValueError(f"an environment plays one MDP, not a batch of shape {mdp.batch_shape}")
        if ns.name(mdp.reward) != "float64":
            raise ValueError(f"the MDP is {ns.name(mdp.reward)}: use mdp.convert('float64') to play it")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode {render_mode!r} is none of {self.metadata['render_modes']}")
        self.mdp, self.render_mode = mdp, render_mode
        horizon, states, actions = mdp.shape
        self.over = horizon * states
        self.observation_space = gymnasium.spaces.Discrete(horizon * mdp.observations + 1)
        self.action_space = gymnasium.spaces.Discrete(actions)
        self.initial_state_distrib = np.zeros(self.over + 1)
        self.initial_state_distrib[:states] = mdp.initial
        self.P: dict[int, dict[int, list[Outcome]]] = {
            i: {a: self._outcomes(i, a) for a in range(actions)} for i in range(self.over + 1)
        }
        self.state = self.over  # nothing is played before the first reset

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

    def _emit(self) -> tuple[int, dict[str, Any]]:
        """What the student sees, and the state for those who may know it."""
        h, s = divmod(self.state, self.mdp.shape[1])
        seen = 0 if self.state == self.over else int(self.mdp.observation[s])
        return h * self.mdp.observations + seen, {"state": self.state}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Draw the first state from the initial distribution."""
        super().reset(seed=seed)
        self.state = int(self.np_random.choice(self.over + 1, p=self.initial_state_distrib))
        return self._emit()

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Draw one of `P[state][action]`.

        Raises:
            ValueError: there is no such action.
        """
        if not self.action_space.contains(action):
            raise ValueError(f"action {action!r} is not in {self.action_space}")
        outcomes = self.P[self.state][int(action)]
        k = self.np_random.choice(len(outcomes), p=[p for p, *_ in outcomes])
        _, self.state, r, terminated = outcomes[k]
        observation, info = self._emit()
        return observation, r, terminated, False, info

    def render(self) -> Any:
        """The grid of states (rows) over steps (columns), the occupied cell marked; the last column means "over"."""
        horizon, states, _ = self.mdp.shape
        occupied = np.zeros((states, horizon + 1), dtype=bool)
        h, s = divmod(self.state, states)
        occupied[slice(None) if self.state == self.over else s, h] = True
        if self.render_mode == "ansi":
            return "\n".join("".join("#" if cell else "." for cell in row) for row in occupied) + "\n"
        if self.render_mode == "rgb_array":
            picture = np.where(occupied[..., None], MARK, PAPER).astype(np.uint8)
            picture = picture.repeat(CELL, axis=0).repeat(CELL, axis=1)
            picture[::CELL, :-CELL] = INK  # lines between states; "over" is one tall cell
            picture[:, ::CELL] = INK
            return picture
        return None

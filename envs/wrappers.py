"""What only a teacher knows, in `info`: wrappers for imitation, distillation and DAgger.

`ExpertInfo` answers at every state "what would the expert do here?", `FeedbackInfo` "what does it know that the student
doesn't?". Both read the true state, so a student that trains on the observations alone stays honest. They wrap any
`TabularEnv`, whatever other wrappers lie between, and work in vector environments, one around each copy:

    gymnasium.make_vec("distil_theory/PrivilegedGrid-v0", num_envs=8, wrappers=(ExpertInfo, FeedbackInfo))

At the end there is nothing left to do: the expert's distribution is all zeros there, so that cross-entropy to it counts
nothing, its action is -1, and the feedback is empty. Shapes and types are the same at every step.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from distil_theory import number_systems as ns
from distil_theory import solve
from envs.tabular import TabularEnv

Step = tuple[Any, float, bool, bool, dict[str, Any]]


def _tabular(env: gymnasium.Env[Any, Any], wrapper: str) -> TabularEnv:
    inner = env.unwrapped
    if not isinstance(inner, TabularEnv):
        raise ValueError(f"{wrapper} wraps environments of this project, not {inner}")
    return inner


class _Told(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Adds to `info` at every step."""

    def tell(self, i: int) -> dict[str, Any]:
        """What is known in the flat state `i`."""
        raise NotImplementedError

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset, and tell."""
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, info | self.tell(info["state"])

    def step(self, action: Any) -> Step:
        """Step, and tell."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, float(reward), terminated, truncated, info | self.tell(info["state"])


class ExpertInfo(_Told):
    """Puts the expert's distribution over actions into `info["expert"]`, float64 `(A,)`; zeros at the end.

    Args:
        env: an environment of this project, wrapped or not.
        expert: a table `(H,S,A)` in any number system but symbols; default: the expert of the instance.
        black_box: show only what the expert does, `info["expert_action"]`: an action drawn at each state, -1 at the
            end. The draws are seeded with `reset(seed=...)` and leave those of the environment as they are.

    Raises:
        ValueError: no environment of this project, no expert, or a table that does not fit (the message says where).
    """

    def __init__(self, env: gymnasium.Env[Any, Any], expert: Any = None, *, black_box: bool = False) -> None:
        RecordConstructorArgs.__init__(self, expert=expert, black_box=black_box)
        gymnasium.Wrapper.__init__(self, env)
        inner = _tabular(env, "ExpertInfo")
        if expert is None:
            if inner.instance is None:
                raise ValueError("ExpertInfo: this environment has no expert of its own, give a table (H,S,A)")
            expert = inner.instance.expert
        table = solve.check_policy(inner.mdp, ns.convert(expert, "float64"), "expert")
        if table.ndim != 3:
            raise ValueError(f"expert has shape {table.shape}: ExpertInfo takes one table (H,S,A), no batch")
        actions = inner.mdp.shape[2]
        self.black_box = black_box
        self._rows = np.vstack([table.reshape(-1, actions), np.zeros(actions)])
        below = self._rows[:-1].cumsum(axis=1)
        self._below = (below / below[:, -1:])[:, :-1]  # a draw beyond all of them is the last action
        self._rng = np.random.default_rng()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset, the expert's draws too if there is a seed, and tell."""
        if seed is not None:  # a stream of its own
            self._rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
        return super().reset(seed=seed, options=options)

    def tell(self, i: int) -> dict[str, Any]:
        """The expert's distribution, or one action drawn from it."""
        if not self.black_box:
            return {"expert": self._rows[i].copy()}
        over = i == len(self._below)
        return {"expert_action": -1 if over else int((self._rng.random() >= self._below[i]).sum())}


class FeedbackInfo(_Told):
    """Puts what only the teacher sees into `info["feedback"]`, a text: the feedback of a token MDP, the hidden part of
    the state if states look alike; `""` where the student sees all, and at the end.

    Args:
        env: an environment of this project, wrapped or not.

    Raises:
        ValueError: no environment of this project.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        gymnasium.Wrapper.__init__(self, env)
        inner = _tabular(env, "FeedbackInfo")
        self._texts = [*inner.names.hidden * inner.mdp.shape[0], ""]

    def tell(self, i: int) -> dict[str, Any]:
        """The hidden part of the state, in words."""
        return {"feedback": self._texts[i]}

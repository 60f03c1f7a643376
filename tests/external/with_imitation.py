"""Behaviour cloning and DAgger of the `imitation` library, on our environments: do they end where the theory says?

    python3 -m venv /tmp/imitation
    /tmp/imitation/bin/pip install imitation==1.0.1 python-flint sympy scipy joblib threadpoolctl
    PYTHONPATH=. /tmp/imitation/bin/python tests/external/with_imitation.py      # minutes on an idle core

It needs an environment of its own, for it pins gymnasium 0.29 and stable-baselines3 2.2; ours run there unchanged.

What the student can be taught is the expert averaged over the states that look alike, weighted by who was there when it
was taught: the expert (cloning), or all students so far (DAgger, which adds up its rounds). `experts.observed` is that
projection; the prediction for DAgger iterates it over the rounds. The student is a stable-baselines3 policy, linear in
the observation, one-hot; the expert reads the state. Returns of trained policies are computed exactly, not sampled:
what varies is the data they saw. The exact numbers must lie in the 99 % t interval of the mean over seeds, widened by
`UNFINISHED`: gradient descent does not reach a probability of 0.

Seen (imitation 1.0.1, stable-baselines3 2.2.1, gymnasium 0.29.1, torch 2.14.1; 8 rounds of 250 episodes, 3 seeds):

                     expert  student   trained by  predicted  found (99 % interval)
    PrivilegedGrid    1.000    0.698   cloning         0.500  0.498 +- 0.000
    PrivilegedGrid    1.000    0.698   DAgger          0.391  0.390 +- 0.003
    RiskyFork         0.950    0.480   cloning         0.950  0.948 +- 0.018
    RiskyFork         0.950    0.480   DAgger          0.950  0.945 +- 0.004

In the grid both end below the student of the instance, DAgger below cloning, on its way to 3/8 (12 rounds of 300
episodes: 0.387, predicted 0.385). Where nothing is hidden both reach the expert.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import tempfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from datasets import disable_progress_bars
from imitation.algorithms import bc, dagger
from imitation.data import rollout
from imitation.data.wrappers import RolloutInfoWrapper
from imitation.util import logger as imitation_logger
from scipy import stats
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv

import envs
from distil_theory import solve
from distil_theory.aliasing import pool, spread


def _save(path: Any, trajectories: Any) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(pickle.dumps(list(trajectories)))


# The library writes each episode of DAgger as a data set of its own, a third of a second each; a pickle does, too.
dagger.serialize.save = _save
dagger.serialize.load = lambda path: pickle.loads(Path(path).read_bytes())

NAMES = ("PrivilegedGrid", "RiskyFork")
UNFINISHED = 0.005
"""Of the return, as a share of what the expert earns."""


class BothViews(gymnasium.Wrapper):
    """Observations are pairs of what the student sees and the state: the expert of `imitation` gets nothing else."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.observation_space = gymnasium.spaces.MultiDiscrete([env.observation_space.n, env.unwrapped.over + 1])

    def reset(self, **options: Any) -> Any:
        seen, info = self.env.reset(**options)
        return np.array([seen, info["state"]]), info

    def step(self, action: Any) -> Any:
        seen, *rest, info = self.env.step(action)
        return np.array([seen, info["state"]]), *rest, info


class StudentEyes(BaseFeaturesExtractor):
    """The first of two one-hot codes: what the student sees."""

    def __init__(self, space: gymnasium.Space) -> None:
        super().__init__(space, int(space.nvec[0]))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        return codes[:, : self.features_dim]


class Expert(BasePolicy):
    """Draws from a table `(H S, A)` at the state."""

    def __init__(self, env: Any, table: np.ndarray, rng: np.random.Generator) -> None:
        super().__init__(env.observation_space, env.action_space)
        self.below, self.rng = table.cumsum(axis=1)[:, :-1], rng

    def _predict(self, observation: Any, deterministic: bool = False) -> Any:
        below = self.below[np.minimum(np.asarray(observation)[:, 1], len(self.below) - 1)]
        return torch.as_tensor((self.rng.random(len(below))[:, None] >= below).sum(axis=1))


def table_of(policy: ActorCriticPolicy, env: envs.TabularEnv) -> np.ndarray:
    """What a trained policy does in each state, `(H,S,A)`."""
    horizon, states, actions = env.mdp.shape
    flat = np.arange(env.over)
    both = np.stack([flat // states * env.mdp.observations + env.mdp.observation[flat % states], flat], axis=1)
    with torch.no_grad():
        p = policy.get_distribution(torch.as_tensor(both)).distribution.probs.numpy().astype(float)
    return (p / p.sum(axis=1, keepdims=True)).reshape(horizon, states, actions)


def predicted(env: envs.TabularEnv, rounds: int) -> list[float]:
    """Exact returns after each round of DAgger, the first of which, taught where the expert goes, is cloning."""
    mdp, expert = env.mdp, env.instance.expert
    met = solve.occupancy(mdp, expert)
    out = []
    for _ in range(rounds):
        share, seen = met[:, :, None] * expert, met[:, :, None] * np.ones_like(expert)
        total = spread(mdp, pool(mdp, seen))
        student = np.where(total > 0, spread(mdp, pool(mdp, share)) / np.where(total > 0, total, 1), 1 / mdp.shape[2])
        out.append(float(solve.expected_return(mdp, student)))
        met = met + solve.occupancy(mdp, student)
    return out


def train(name: str, seed: int, rounds: int, episodes: int) -> tuple[float, float]:
    """Exact returns of a cloned student and of one trained by DAgger."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    inner = gymnasium.make(f"distil_theory/{name}-v0").unwrapped
    venv = DummyVecEnv([lambda: RolloutInfoWrapper(BothViews(gymnasium.make(f"distil_theory/{name}-v0")))] * 10)
    venv.seed(seed)
    horizon, _, actions = inner.mdp.shape
    expert = Expert(venv, inner.instance.expert.reshape(-1, actions), rng)
    quiet = imitation_logger.configure(tempfile.mkdtemp(), [])

    def cloner(demonstrations: Any = None) -> bc.BC:
        policy = ActorCriticPolicy(
            venv.observation_space,
            venv.action_space,
            lambda _: 0.1,
            net_arch=[],
            features_extractor_class=StudentEyes,
        )
        return bc.BC(
            observation_space=venv.observation_space,
            action_space=venv.action_space,
            rng=rng,
            policy=policy,
            demonstrations=demonstrations,
            batch_size=500,
            ent_weight=0.0,
            optimizer_kwargs={"lr": 0.1},
            custom_logger=quiet,
        )

    def settle(trainer: bc.BC, epochs: int) -> None:
        """Smaller and smaller steps: the minimum itself, not a cloud around it."""
        for lr in (0.1, 0.03, 0.01, 0.003):
            for group in trainer.optimizer.param_groups:
                group["lr"] = lr
            trainer.train(n_epochs=epochs, progress_bar=False)

    def earned(policy: ActorCriticPolicy) -> float:
        return float(solve.expected_return(inner.mdp, table_of(policy, inner)))

    until = rollout.make_sample_until(min_episodes=rounds * episodes)
    shown = rollout.rollout(expert, venv, until, rng=rng)
    clone = cloner(rollout.flatten_trajectories(shown))
    settle(clone, 8)

    with tempfile.TemporaryDirectory() as scratch:
        trainer = dagger.SimpleDAggerTrainer(
            venv=venv,
            scratch_dir=scratch,
            expert_policy=expert,
            rng=rng,
            bc_trainer=cloner(),
            beta_schedule=lambda n: float(n == 0),  # the expert leads in the first round only
            custom_logger=quiet,
        )
        trainer.train(
            rounds * episodes * horizon,
            rollout_round_min_episodes=episodes,
            rollout_round_min_timesteps=episodes * horizon,
            bc_train_kwargs={"n_epochs": 6, "progress_bar": False},
        )
        settle(trainer.bc_trainer, 8)
        return earned(clone.policy), earned(trainer.policy)


def main() -> int:
    """Train, compare, say whether all is as predicted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--episodes", type=int, default=250)
    options = parser.parse_args()
    torch.set_num_threads(1)
    disable_progress_bars()
    print(f"{'':<18}{'expert':>9}{'student':>9}   trained by  predicted  found (99 % interval)")
    fine = True
    for name in options.names:
        env = gymnasium.make(f"distil_theory/{name}-v0").unwrapped
        best, first = (float(solve.expected_return(env.mdp, pi)) for pi in (env.instance.expert, env.instance.student))
        curve = predicted(env, options.rounds)
        found = np.array([train(name, seed, options.rounds, options.episodes) for seed in range(options.seeds)])
        for who, exact, returns in zip(("cloning", "DAgger"), (curve[0], curve[-1]), found.T, strict=True):
            half = stats.t.ppf(0.995, len(returns) - 1) * returns.std(ddof=1) / np.sqrt(len(returns))
            inside = abs(returns.mean() - exact) <= half + UNFINISHED * best
            fine &= bool(inside)
            said = f"{returns.mean():.3f} +- {half:.3f}{'' if inside else '  NOT AS PREDICTED'}"
            print(f"{name:<18}{best:>9.3f}{first:>9.3f}   {who:<11}{exact:>10.3f}  {said}", flush=True)
    return int(not fine)


if __name__ == "__main__":
    sys.exit(main())

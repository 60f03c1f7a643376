"""Logs that are not what they seem: does the check of the weights notice? The table `checks`.

All estimates rest on `E[u_h | s_h] = 1`: tokens were drawn from the student whose log-probabilities are logged, and the
teacher's context was fixed before they were. Then `E S = 0` and `E Lambda = 1`, `S` the sum of `u_h - 1`. Not so

- `own verdict`: for a teacher that has read what the verifier says of *this* answer, right or wrong (SDPO's feedback on
  its own attempt), not of an earlier one;
- `temperature`: if the rollouts were drawn at another temperature than that of the logged probabilities (here the two
  effects on `E S` nearly cancel, and it is not noticed);
- `shifted`: if the teacher's log-probabilities are those of the token before.

`own trace` has read the right digits up to the first error of *this* answer, and passes, exactly: up to the error it
knows the right digit, afterwards it knows nothing, so `u_h` depends on prefix and token only and has mean 1 given the
prefix: the log is that of an honest teacher. In general the estimates are those of the teacher with the ratios `E[u_h |
s_h, a_h]`, if that is a teacher.
"""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pandas as pd

from distil_theory.diagnosis import rates, trust
from distil_theory.diagnosis.tally import Tally
from distil_theory.instances.token_sum import token_sum
from experiments.diagnosis import games, logs
from experiments.diagnosis.games import Every

FAULTS = ("valid", "own verdict", "own trace", "temperature", "shifted")
TEMPERATURE = 0.7
TRUST = 0.6
SHAPES = ((16, 4), (64, 4), (256, 4), (1024, 4))
PROBLEMS = ((1, 1), (3, 2), (2, 3))


def rollouts(fault: str, share: float = TRUST) -> Every:
    """All rollouts, with the probabilities that they have in such a log."""
    token_mdp = token_sum(2, 2, PROBLEMS, "trace" if fault == "own trace" else "outcome")
    every = games.of_token_mdp("faulty", token_mdp, 5, 0.3).trusted(share).every
    if fault.startswith("own"):
        answer = every.tokens @ (2 ** np.arange(every.tokens.shape[1])[::-1])  # answers are in lexicographic order
        said = np.concatenate(token_mdp.says)[every.context, answer]  # whether this is the verdict on this rollout
        own = np.flatnonzero(said)
        problem = np.repeat(np.arange(len(PROBLEMS)), [len(x) for x in token_mdp.says])[every.context[own]]
        order = np.argsort(problem, kind="stable")
        parts = {name: getattr(every, name)[own][order] for name in every.__dataclass_fields__ if name != "law"}
        law = np.full(len(PROBLEMS), 1 / len(PROBLEMS))
        return Every(**(parts | {"context": problem[order]}), law=law)
    if fault == "temperature":
        sharp = every.student_full / TEMPERATURE
        sharp -= np.log(np.exp(sharp).sum(axis=2, keepdims=True))
        chance = np.exp(np.take_along_axis(sharp, every.tokens[..., None], axis=2)[..., 0].sum(axis=1))
        return replace(every, chance=chance)
    if fault == "shifted":
        return replace(every, teacher=np.roll(every.teacher, 1, axis=1))
    return every


def checks(fault: str, groups: int, size: int, count: int, seed: int) -> pd.DataFrame:
    """How many of `count` logs the checks object to."""
    every = rollouts(fault)
    rng = np.random.default_rng([seed, zlib.crc32(f"{fault} {groups} {size}".encode())])
    each = logs.block(every, np.arange(len(every.chance))[:, None])
    plan = [c for c in rates.columns(each) if c.name == "local/forward_kl"]
    kept = Tally(plan).per_rollout(each)
    law = every.law[every.context] * every.chance
    places = every.draw((count, groups), size, rng)
    tally = Tally(plan, logs=count, replicates=99)
    tally.take(logs.bare(every, places), *(x[places.ravel()] for x in kept))
    found = tally.estimates()
    flagged = found.trust.above | found.trust.below
    expected = dict(zip(("expected_cut", "expected_s", "expected_lambda"), law @ trust.checks(each), strict=True))
    return pd.DataFrame([{"fault": fault, "groups": groups, "size": size, "rollouts": groups * size, "logs": count,
                          "noticed": float(flagged.mean()), **expected,
                          "estimate": float(found.rates.value[:, 0].mean())}])  # fmt: skip

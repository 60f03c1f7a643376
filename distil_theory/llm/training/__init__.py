"""`DistILTrainer`: the objectives of this library on language models, beside TRL's own trainers.

* What is minimised: `objective` (the statement, with PPO's clip), made of `llm.losses` and `llm.credit`.
* Who teaches: `teacher` (the student's network, its average, and what it reads).
* How texts are read and written: `packing` (a shared prompt is read once), `generation`.
* What is said about it: `diagnosis` (numbers logged, a log for `distil_theory.diagnose`).
* `config`, `trainer`, `checkpoints`: TRL's `GRPOConfig` and `GRPOTrainer` with all of this in their places.

`pip install "distil-theory[llm]"`; TRL's version is pinned, since its inner parts are used.
"""

from distil_theory.llm.training.config import DistILConfig
from distil_theory.llm.training.diagnosis import DiagnosisCallback, RolloutLog, Rollouts
from distil_theory.llm.training.objective import Objective
from distil_theory.llm.training.trainer import DistILTrainer

__all__ = ["DiagnosisCallback", "DistILConfig", "DistILTrainer", "Objective", "RolloutLog", "Rollouts"]

r"""The complete loop of DistIL beside its rivals (THEORY section 13): one loop, three choices.

    teacher     who is imitated: the student that has read the feedback, now or averaged, or another expert
    objective   what is minimised: a disagreement with the teacher, or minus the outcome
    update      how a step is taken: natural, Euclidean, proximal, KL trust region, PPO's clipped ratio

    DistIL          feedback    forward cross-entropy: local, full (CE- or KL-to-go), prefix-weighted
    SDPO            feedback    reverse KL
    OPSD            feedback    Jensen-Shannon
    GRPO, RLVR      nobody      group-normalised outcome
    DAgger          expert      forward cross-entropy to labels, at the student's states of all rounds
    cloning         expert      forward cross-entropy to labels, at the expert's states

`run` does it with exact expectations or with rollouts: `Disagreement` and `Outcome` turn either into a `Push`, and what
follows cannot tell them apart. Students train side by side along the last axis:

    game = with_feedback(token_sum(2, 2, feedback="none"), Feedback("trace", noise="1/10"))
    record = run(Task.of(game), DISTIL.but(eta=0.2), 100)                                      # exact
    record = run(game, SDPO, 100, sampling=Sampling(prompts=8, group=8), seeds=50)            # rollouts, 50 seeds
    record.returns, record.drops(), record.pass_at(8), agreement(record)
"""

from distil_theory.algorithms.attempts import answer_law
from distil_theory.algorithms.diagnostics import agreement, cosines, first_order_error
from distil_theory.algorithms.disagreement import Disagreement
from distil_theory.algorithms.loop import Algorithm, run
from distil_theory.algorithms.outcome import Outcome
from distil_theory.algorithms.presets import (
    ALGORITHMS,
    CLONING,
    DAGGER,
    DISTIL,
    DISTIL_CE_TO_GO,
    DISTIL_KL_TO_GO,
    DISTIL_WEIGHTED,
    GRPO,
    OPSD,
    RLVR,
    SDPO,
    named,
)
from distil_theory.algorithms.record import Run
from distil_theory.algorithms.rollouts import Sampling
from distil_theory.algorithms.tasks import Task
from distil_theory.algorithms.teachers import Teacher
from distil_theory.algorithms.updating import Update

__all__ = [
    "ALGORITHMS",
    "CLONING",
    "DAGGER",
    "DISTIL",
    "DISTIL_CE_TO_GO",
    "DISTIL_KL_TO_GO",
    "DISTIL_WEIGHTED",
    "GRPO",
    "OPSD",
    "RLVR",
    "SDPO",
    "Algorithm",
    "Disagreement",
    "Outcome",
    "Run",
    "Sampling",
    "Task",
    "Teacher",
    "Update",
    "agreement",
    "answer_law",
    "cosines",
    "first_order_error",
    "named",
    "run",
]

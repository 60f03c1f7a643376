"""What is foretold, written down before the runs: by the tables and the toy world; then by the first seeds of rung 2.

`PREDICTIONS` came before every grid. Three of them were contradicted or open on the longer task of rung 2, and what was
seen there instead is no finding of that grid's own making: it had not been foretold. So `AGAIN` foretells it, and new
seeds judge.
"""

from __future__ import annotations

from dataclasses import dataclass

from experiments.llm_validation.plan import Setting


@dataclass(frozen=True)
class Prediction:
    """`algorithm` less `minus`, after training, in `metric`: `"higher"`, `"lower"`, or `"none"` (no difference).

    `tasks` limits it to some tasks; empty: all, or for lengths all but `padded`, whose lines are equally long.
    """

    name: str
    claims: str
    algorithm: str
    minus: str
    metric: str
    expected: str
    why: str
    tasks: tuple[str, ...] = ()

    def about(self, task: str, setting: Setting) -> bool:
        """Whether the prediction speaks of this task in this setting."""
        tasks = self.tasks or [t for t in setting.tasks if t != "padded" or self.metric != "length"]
        return task in tasks and {self.algorithm, self.minus} <= set(setting.algorithms)


PREDICTIONS = (
    Prediction("trap", "10c, 18", "ce_to_go", "local_ce", "length", "lower",
               "cross-entropy-to-go charges a token with the teacher's own entropy later on: it favours short answers"),
    Prediction("trap, no baseline", "10c, 18", "ce_to_go_bare", "local_ce", "length", "lower", "the same"),
    Prediction("KL cures length", "10c, 18", "kl_to_go", "ce_to_go", "length", "higher",
               "with KL the expert is a stationary point: its entropy is not charged"),
    Prediction("baseline cures length", "10", "ce_to_go", "ce_to_go_bare", "length", "none",
               "a baseline changes the variance of the gradient, not its mean"),
    Prediction("trap costs success", "18", "ce_to_go", "local_ce", "avg", "lower",
               "where thinking helps, who stops thinking is right less often"),
    Prediction("fixed length is no cure", "10c", "ce_to_go", "local_ce", "worked", "lower",
               "where all lines are equally long thinking still costs the teacher's entropy", ("padded",)),
    Prediction("KL cures thinking", "10c, 18", "kl_to_go", "ce_to_go", "worked", "higher",
               "the same as for length, also where that is fixed", ("free", "chain", "padded")),
    Prediction("KL-to-go is safe", "18", "kl_to_go", "ce_to_go", "avg", "higher",
               "truthful feedback, nothing left to chance, reward at the end: KL-to-go improves, CE-to-go may not"),
    Prediction("local against reverse KL", "3, 13", "reverse_kl", "local_ce", "avg", "lower",
               "per rollout, SDPO was 0.014 behind local DistIL in the toy world"),
    Prediction("reverse KL is sharper", "12", "reverse_kl", "local_ce", "entropy", "lower",
               "reverse KL leaves modes that the teacher doubts, forward cross-entropy keeps them"),
    Prediction("feedback against outcome", "13", "grpo", "local_ce", "avg", "lower",
               "per rollout, GRPO was 0.087 behind local DistIL in the toy world"),
    Prediction("prefix weights", "2, 15", "prefix", "local_ce", "avg", "higher",
               "per rollout, prefix-weighted DistIL was 0.018 ahead in the toy world"),
    Prediction("OPSD", "3, 13", "jensen_shannon", "local_ce", "avg", "lower",
               "per rollout, OPSD was 0.002 behind in the toy world"),
)  # fmt: skip
"""Of the theory."""
_SEEN = "seen on the first three seeds"
AGAIN = (
    Prediction("trap", "10c, 18", "ce_to_go", "local_ce", "length", "lower", _SEEN),
    Prediction("no calculation", "10c, 18", "ce_to_go", "local_ce", "worked", "lower", _SEEN),
    Prediction("KL keeps the calculation", "18", "kl_to_go", "ce_to_go", "worked", "higher", _SEEN),
    Prediction("KL cures length", "10c, 18", "kl_to_go", "ce_to_go", "length", "higher", _SEEN + ", undecided"),
    Prediction("KL-to-go ahead of local", "18", "kl_to_go", "local_ce", "avg", "higher", _SEEN),
    Prediction("KL-to-go is safe", "18", "kl_to_go", "ce_to_go", "avg", "higher", _SEEN + ", undecided"),
    Prediction("reverse KL ahead of local", "3, 13", "reverse_kl", "local_ce", "avg", "higher", _SEEN),
    Prediction("reverse KL is sharper", "12", "reverse_kl", "local_ce", "entropy", "lower", _SEEN),
    Prediction("GRPO ahead of local", "13", "grpo", "local_ce", "avg", "higher", _SEEN),
    Prediction("Jensen-Shannon ahead of local", "3, 13", "jensen_shannon", "local_ce", "avg", "higher",
               "it lies between the forward and the reverse KL, and reverse KL was ahead; seen in rung 1, undecided"),
    Prediction("prefix weights", "2, 15", "prefix", "local_ce", "avg", "none", "they changed nothing in rung 1"),
    Prediction("reverse KL is ahead by sharpness", "12", "reverse_kl", "local_ce", "untapped", "lower",
               "of 16 answers the likeliest was right as often; what differed was how often it is written"),
    Prediction("GRPO is ahead by sharpness", "12", "grpo", "local_ce", "untapped", "lower", "the same"),
    Prediction("reverse KL knows no more", "12", "reverse_kl", "local_ce", "likeliest", "none", "the same"),
    Prediction("GRPO knows no more", "12", "grpo", "local_ce", "likeliest", "none", "the same"),
    Prediction("the trap costs knowledge", "10c, 18", "ce_to_go", "local_ce", "likeliest", "lower", _SEEN),
)  # fmt: skip
"""Of what was seen before, for new seeds."""


def of(grid: str) -> tuple[Prediction, ...]:
    """What was foretold of a grid."""
    return AGAIN if grid == "rung2_again" else PREDICTIONS

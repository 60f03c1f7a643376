"""What is run: algorithms, settings of the rungs, and the order of the runs. Settings are data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from typing import Any

RECIPE = 1
"""Raised when the code changes so that finished runs no longer count as runs of the same settings."""

_FULL = {"objective": "cross_entropy", "part": "full"}
ALGORITHMS: dict[str, dict[str, Any]] = {
    "local_ce": {"objective": "cross_entropy", "part": "local"},
    "ce_to_go": {**_FULL, "to_go": "cross_entropy", "baseline": "group"},
    "kl_to_go": {**_FULL, "to_go": "forward_kl", "baseline": "group"},
    "reverse_kl": {"objective": "reverse_kl", "part": "local"},
    "grpo": {"objective": "grpo", "loss_type": "grpo"},
    "jensen_shannon": {"objective": "jensen_shannon", "part": "local"},
    "ce_to_go_bare": {**_FULL, "to_go": "cross_entropy", "baseline": "none"},
    "kl_to_go_bare": {**_FULL, "to_go": "forward_kl", "baseline": "none"},
    "prefix": {"objective": "cross_entropy", "part": "local", "prefix_clip": 5.0},
}
"""Options of `DistILConfig`, in the order of value."""
LABELS = {
    "local_ce": "local forward CE", "ce_to_go": "CE-to-go", "kl_to_go": "KL-to-go", "reverse_kl": "reverse KL",
    "grpo": "GRPO", "jensen_shannon": "Jensen-Shannon", "ce_to_go_bare": "CE-to-go, no baseline",
    "kl_to_go_bare": "KL-to-go, no baseline", "prefix": "prefix-weighted CE",
}  # fmt: skip
REFERENCE = "local_ce"


@dataclass(frozen=True)
class Setting:
    """How every run of a rung is done.

    Attributes:
        rung: 1 or 2.
        tasks, algorithms: names, in the order of value.
        seeds: how many.
        steps: of the optimiser.
        prompts, generations: per step, and completions of each.
        rate: of Adam; the same for all algorithms, whose steps it makes about equally long whatever their loss's scale.
        temperature: of the student's sampling, in training and evaluation.
        kinds: the feedback that the teacher reads in each task, if not the answer.
        teacher: whose network reads it: `"base"`, the student before training; `"ema"`; `"live"`.
        shots: solved examples in a prompt of rung 2.
        pool: training problems, which come again after an epoch.
        items, samples: of an evaluation.
        watch: evaluations in between, after so many steps each (0: none).
        save: steps between checkpoints; as many as `steps`: only when the time is over.
        by_task: all seeds of a task before the next task; otherwise all tasks of a seed before the next seed.
        trainer: further options of `DistILConfig`, the same for all runs.
        education: of rung 1, see `education.py`; empty for rung 2.
    """

    rung: int
    tasks: tuple[str, ...]
    algorithms: tuple[str, ...]
    seeds: int
    steps: int
    prompts: int
    generations: int
    rate: float
    temperature: float = 1.0
    kinds: dict[str, str] = field(default_factory=dict)
    teacher: str = "base"
    shots: int = 2
    pool: int = 64
    items: int = 32
    samples: int = 16
    watch: int = 0
    save: int = 20
    by_task: bool = False
    dtype: str = "float32"
    trainer: dict[str, Any] = field(default_factory=dict)
    education: dict[str, Any] = field(default_factory=dict)

    def but(self, **changes: Any) -> Setting:
        """The same with other values."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Run:
    """One training run: what is compared is three of these names, what is shared is the setting."""

    algorithm: str
    task: str
    seed: int
    setting: Setting

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.algorithm}-{self.where}"

    @property
    def where(self) -> str:
        """What the algorithms share: task, seed, and a fingerprint of the settings."""
        return f"{self.task}-{self.seed}-{self.fingerprint}"

    def settled(self) -> dict[str, Any]:
        """Everything that decides what the run does: not which other runs there are, when, nor how often it saves."""
        own = asdict(self.setting)
        for shared in ("tasks", "algorithms", "seeds", "save", "by_task", "kinds"):
            del own[shared]
        return {"recipe": RECIPE, "task": self.task, "kind": self.kind, **own}

    @property
    def kind(self) -> str:
        """The feedback that the teacher reads."""
        return self.setting.kinds.get(self.task, "answer")

    @property
    def fingerprint(self) -> str:
        """Of the settings: runs of other settings are not taken for ours."""
        text = json.dumps(self.settled(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def ordered(setting: Setting, seeds: Sequence[int]) -> list[Run]:
    """Every run in the order of value: whatever is finished first is a whole smaller table."""
    blocks = [(s, t) for t in setting.tasks for s in seeds] if setting.by_task else product(seeds, setting.tasks)
    return [Run(a, t, s, setting) for (s, t), a in product(blocks, setting.algorithms)]

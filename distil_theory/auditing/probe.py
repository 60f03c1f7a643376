"""Calling a loss: which arguments it names, torch or numpy, a scalar or a number per token, values and gradients.

Everything that goes in and comes out is a float64 numpy array; in between the loss sees tensors or arrays of the
precision asked for. Torch is imported only here, and only when a loss cannot be called with arrays.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from distil_theory.auditing.laws import Array

STUDENT, TEACHER = ("student_logits", "student"), ("teacher_logits", "teacher")
ADVICE = "wrap it: audit(lambda student, teacher, mask: my_loss(...))"


class Answer(NamedTuple):
    """One call: the value (a float, or `(batch, token)`), and its gradients `(batch, token, vocab)`."""

    value: Array
    student: Array
    teacher: Array

    @property
    def finite(self) -> bool:
        """Whether value and gradient are numbers."""
        return bool(np.isfinite(self.value).all() and np.isfinite(self.student).all())


class Loss:
    """A callable with its calling convention.

    Args:
        function: `loss(student_logits, teacher_logits[, mask][, labels])`.
        parameters: values of its other parameters.

    Raises:
        ValueError: it cannot be called that way; the message says what is missing.
    """

    def __init__(self, function: Callable[..., Any], parameters: Mapping[str, Any] | None = None):
        if not callable(function):
            raise ValueError(f"loss must be a function of student and teacher logits, not {function!r}")
        self.function, self.set = function, dict(parameters or {})
        inner = getattr(function, "func", function)  # of a partial
        self.name = getattr(inner, "__name__", type(inner).__name__)
        self.calls, self.grain = 0, 0
        self._read_signature()
        self.precision, self.mask_kind, self.labels_as_mask = "float64", "float", False
        self.vocab, self.per_token, self.framework = 8, False, ""
        self._first_call()
        self.grain = self._grain()

    def _read_signature(self) -> None:
        target = getattr(self.function, "forward", self.function)  # a torch module hides its arguments
        try:
            found = dict(inspect.signature(target).parameters)
            self.positional = False
        except (TypeError, ValueError):
            found = {}
            self.positional = True
        named = [p for p in found.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        unknown = set(self.set) - {p.name for p in named}
        if unknown and found and not any(p.kind is p.VAR_KEYWORD for p in found.values()):
            raise ValueError(f"{self.name} has no parameter {sorted(unknown)[0]!r}: it has {', '.join(found)}")
        for p in named:  # --set beta=1 means 1.0 where the default is a float
            if isinstance(p.default, float) and type(self.set.get(p.name)) is int:
                self.set[p.name] = float(self.set[p.name])
        roles: dict[str, str] = {}
        for p in named:
            if p.name in self.set:
                continue
            known = {"student": STUDENT, "teacher": TEACHER, "mask": ("mask",), "labels": ("labels",)}
            role = next((role for role, names in known.items() if p.name in names and role not in roles), None)
            if role:
                roles[role] = p.name
        free = [p for p in named if p.name not in self.set and p.name not in roles.values()]
        free = [p for p in free if p.default is p.empty or p.kind is not p.KEYWORD_ONLY]
        for role in ("student", "teacher"):
            if role not in roles and free and free[0].default is inspect.Parameter.empty:
                roles[role] = free.pop(0).name
        self.roles = roles
        missing = [p.name for p in free if p.default is p.empty]
        if missing:
            raise ValueError(f"{self.name} needs a value for {missing[0]!r}: give parameters={{{missing[0]!r}: ...}}")
        if not named and any(p.kind is p.VAR_POSITIONAL for p in found.values()):
            self.positional = True  # a wrapper that hides what it wraps
        if not self.positional and "student" not in roles:
            raise ValueError(f"{self.name} takes no student logits: {ADVICE}")
        self.kinds = {p.name: p.kind for p in named}
        self.floats = {
            p.name: float(self.set.get(p.name, p.default))
            for p in named
            if isinstance(self.set.get(p.name, p.default), float)
        }
        self.takes_labels, self.takes_mask = "labels" in roles, "mask" in roles

    def _first_call(self) -> None:
        """Find the framework, the precision, the kind of mask and the least vocabulary that it accepts."""
        errors: dict[str, str] = {}
        frameworks = ["torch", "numpy"] if "torch" in sys.modules else ["numpy", "torch"]  # importing it takes seconds
        kinds = ("float", "bool", "int") if self.takes_mask else ("float",)
        for convention in itertools.product((8, 64, 512), frameworks, ("float64", "float32"), kinds):
            self.vocab, self.framework, self.precision, self.mask_kind = convention
            try:
                self._settle()
            except Exception as error:
                errors.setdefault(self.framework, f"{type(error).__name__}: {error}")
            else:
                return
        said = "; ".join(f"in {framework}: {error}" for framework, error in errors.items())
        raise ValueError(f"{self.name} cannot be called with logits (2, 4, 8): {said}; {ADVICE}")

    def _settle(self) -> None:
        rng = np.random.default_rng(0)
        s, t = rng.normal(size=(2, 2, 4, self.vocab))
        mask, labels = np.ones((2, 4)), rng.integers(self.vocab, size=(2, 4))
        mask[0, 3] = mask[1, :1] = 0
        answer = self(s, t, mask, labels)
        if np.shape(answer.value) not in ((), (2, 4)):
            shape = np.shape(answer.value)
            raise ValueError(f"it returned shape {shape}, expected a scalar or (batch, token) = (2, 4)")
        self.per_token = np.shape(answer.value) == (2, 4)
        again = self(s, t, mask, labels, gradient=False)
        if not np.array_equal(answer.value, again.value, equal_nan=True):
            raise ValueError("it returned two values for the same logits: seed it, or switch its randomness off")

    def _grain(self) -> int:
        """How finely it computes, whatever it is given: 0 (float64), 1 (float32), 2 (half precision).

        The coarser it is, the larger a change must be to be seen.
        """
        rng = np.random.default_rng(1)
        s, t, d = rng.normal(size=(3, 2, 4, self.vocab))
        labels = rng.integers(self.vocab, size=(2, 4))

        def value(step: float) -> Array:
            return self(s + step * d, t, labels=labels, gradient=False).value

        here = value(0)
        if not np.any(value(1e-1) != here):  # nothing is seen at all
            return 0
        return next((i for i, step in enumerate((1e-10, 2e-5)) if np.any(value(step) != here)), 2)

    def rounding(self, gradient: float, value: float) -> bool:
        """Whether a gradient is no more than rounding: of the value, or of numbers of size one if that is nothing."""
        relative, absolute = ((1e-11, 1e-13), (1e-6, 5e-7), (1e-3, 2e-3))[self.grain]
        return bool(gradient <= relative * value or max(gradient, value) <= absolute)

    def __call__(
        self,
        student: Array,
        teacher: Array,
        mask: Array | None = None,
        labels: Array | None = None,
        *,
        precision: str | None = None,
        gradient: bool = True,
        parameters: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Value and gradients at logits `(batch, token, vocab)`; whatever the loss raises is passed on."""
        self.calls += 1
        precision = precision or self.precision
        batch, token = student.shape[:2]
        mask = np.ones((batch, token)) if mask is None else mask
        labels = np.zeros((batch, token), dtype=np.int64) if labels is None else labels
        if self.labels_as_mask:
            labels = np.where(mask == 1, labels, -100)
        with quiet():
            return self._run(student, teacher, mask, labels, precision, gradient, self.set | dict(parameters or {}))

    def _run(
        self, s: Array, t: Array, mask: Array, labels: Array, precision: str, gradient: bool, given: Any
    ) -> Answer:
        if self.framework == "numpy":
            return self._numpy(s, t, mask, labels, precision, gradient, given)
        import torch

        kind = {"float": getattr(torch, precision), "bool": torch.bool, "int": torch.int64}[self.mask_kind]
        student, teacher = (torch.tensor(x, dtype=getattr(torch, precision), requires_grad=gradient) for x in (s, t))
        # copies, which a loss may change in place
        inputs = (student.clone(), teacher.clone(), torch.tensor(mask).to(kind), torch.tensor(labels))
        value = self._invoke(*inputs, given)
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"it returned {type(value).__name__}, not a tensor")
        value = value.reshape(()) if value.numel() == 1 and value.ndim < 2 else value
        found = [None, None]
        if gradient and value.requires_grad:
            found = torch.autograd.grad(value.sum(), (student, teacher), allow_unused=True)
        grads = [np.zeros(s.shape) if g is None else g.detach().double().numpy() for g in found]
        return Answer(value.detach().double().numpy(), *grads)

    def _numpy(
        self, s: Array, t: Array, mask: Array, labels: Array, precision: str, gradient: bool, given: Any
    ) -> Answer:
        mask = mask.astype({"float": precision, "bool": "bool", "int": "int64"}[self.mask_kind])

        def value(student: Array) -> Array:
            found = self._invoke(student.astype(precision), t.astype(precision), mask, labels, given)
            found = np.asarray(found, dtype=np.float64)
            return found.reshape(()) if found.size == 1 and found.ndim < 2 else found

        here, slopes = value(s), np.zeros(s.shape)
        if gradient and precision == "float64":
            size = (1e-5, 5e-3, 5e-2)[self.grain]
            for index in np.ndindex(s.shape):
                step = np.zeros(s.shape)
                step[index] = size
                slopes[index] = (value(s + step).sum() - value(s - step).sum()) / (2 * size)
        return Answer(here, slopes, np.zeros(t.shape))

    def _invoke(self, student: Any, teacher: Any, mask: Any, labels: Any, given: Mapping[str, Any]) -> Any:
        if self.positional:
            return self.function(student, teacher, **given)
        have = {"student": student, "teacher": teacher, "mask": mask, "labels": labels}
        named = {name: have[role] for role, name in self.roles.items()}
        first = [named.pop(n) for n in list(named) if self.kinds[n] is inspect.Parameter.POSITIONAL_ONLY]
        return self.function(*first, **named, **given)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Neither warnings of the loss nor of numpy: what they say is measured."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield

"""One clear error for bad tensors, naming what is wrong and where, before any work starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

AXES = ("batch", "token", "vocab")


def first(marked: torch.Tensor, axes: Sequence[str] = AXES) -> str:
    """The first marked place as a person would say it: `batch=0, token=2`."""
    index = marked.nonzero()[0].tolist()
    return ", ".join(f"{axis}={i}" for axis, i in zip(axes, index, strict=False))


def tensor(what: str, x: Any, axes: Sequence[str], like: torch.Tensor | None = None) -> torch.Tensor:
    """`x`, if it is a floating tensor with these axes, none of them empty, and (as far as axes are shared) the shape,
    the precision and the device of `like`.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(x, torch.Tensor):
        raise ValueError(f"{what} must be a tensor ({', '.join(axes)}), not {type(x).__name__}")
    if not x.is_floating_point():
        raise ValueError(f"{what} must hold floating-point numbers, not {x.dtype}")
    shape(what, x, axes, like)
    if like is not None and (x.dtype, x.device) != (like.dtype, like.device):
        raise ValueError(f"{what} is {x.dtype} on {x.device}, the student is {like.dtype} on {like.device}")
    return x


def shape(what: str, x: torch.Tensor, axes: Sequence[str], like: torch.Tensor | None = None) -> None:
    """Raises `ValueError` unless `x` has these axes, none empty, and the lengths of `like` where they share axes."""
    if x.ndim != len(axes) or 0 in x.shape:
        raise ValueError(f"{what} has shape {tuple(x.shape)}: expected ({', '.join(axes)}), none of them empty")
    if like is not None:
        n = min(x.ndim, like.ndim)
        if x.shape[:n] != like.shape[:n]:
            raise ValueError(f"{what} has shape {tuple(x.shape)}: it does not fit the student's {tuple(like.shape)}")


def finite(what: str, x: torch.Tensor, axes: Sequence[str] = AXES) -> None:
    """Raises `ValueError` at the first NaN or infinity."""
    bad = ~torch.isfinite(x)
    if bad.any():
        raise ValueError(f"{what} at {first(bad, axes)} is {x[bad][0].item()}: expected a finite number")


def student_logits(x: Any) -> torch.Tensor:
    """Finite logits `(batch, token, vocab)`: a softmax student gives every token positive probability.

    Raises:
        ValueError: other shapes, NaN, or infinite entries.
    """
    x = tensor("student logits", x, AXES)
    finite("student logits", x)
    return x


def teacher_logits(x: Any, student: torch.Tensor) -> torch.Tensor:
    """Logits that fit the student's; minus infinity stands for probability zero.

    Raises:
        ValueError: other shapes, NaN, plus infinity, or a token at which nothing is possible.
    """
    x = tensor("teacher logits", x, AXES, student)
    bad = torch.isnan(x) | (x == float("inf"))
    if bad.any():
        raise ValueError(f"teacher logits at {first(bad)} are {x[bad][0].item()}: expected numbers, or -inf")
    nothing = (x == -float("inf")).all(dim=-1)
    if nothing.any():
        raise ValueError(f"teacher logits at {first(nothing)} are all -inf: no token is possible")
    return x


def tokens(what: str, ids: Any, student: torch.Tensor) -> torch.Tensor:
    """Whole numbers `(batch, token)` below the vocabulary of the student's logits.

    Raises:
        ValueError: other shapes, no whole numbers, out of range.
    """
    if not isinstance(ids, torch.Tensor) or ids.is_floating_point() or ids.dtype == torch.bool:
        raise ValueError(f"{what} must be a tensor of whole numbers (batch, token)")
    shape(what, ids, AXES[:2], student)
    bad = (ids < 0) | (ids >= student.shape[-1])
    if bad.any():
        raise ValueError(f"{what} at {first(bad)} is {ids[bad][0].item()}: out of range 0..{student.shape[-1] - 1}")
    return ids


def mask_like(mask: Any, x: torch.Tensor) -> torch.Tensor:
    """The mask `(batch, token)` in the precision of `x`, 1 where a token counts; `None` counts every token.

    Raises:
        ValueError: another shape, entries that are neither 0 nor 1, or no token that counts.
    """
    if mask is None:
        return torch.ones_like(x)
    if not isinstance(mask, torch.Tensor):
        raise ValueError(f"mask must be a tensor (batch, token), not {type(mask).__name__}")
    shape("mask", mask, AXES[:2], x)
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise ValueError("mask has an entry that is neither 0 nor 1")
    if not bool(mask.any()):
        raise ValueError("mask is all zero: no token counts")
    return mask.to(x)


def choice(what: str, value: Any, choices: Sequence[str]) -> None:
    """Raises `ValueError` unless `value` is one of the choices."""
    if value not in choices:
        raise ValueError(f"unknown {what} {value!r}: choose from {', '.join(choices)}")

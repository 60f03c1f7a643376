"""Signs of numbers with logarithms in them, decided in balls of as many bits as it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from distil_theory import number_systems as ns
from distil_theory.certify import BITS


def not_negative(value: Callable[[], Any]) -> bool:
    """Whether the ball that `value()` gives lies at or above zero, at some precision up to 4096 bits; a value that none
    of them tells from zero does not, so equality has to be recognised before."""
    for bits in BITS:
        with ns.precision(bits):
            ball = value()
        if ball >= 0 or ball < 0:
            return bool(ball >= 0)
    return False

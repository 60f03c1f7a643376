"""Verify the theory of distilling from rich feedback (DistIL, arXiv 2606.05152)."""

from typing import Any

from distil_theory.spec import Bandit, TabularMDP, stack

__version__ = "0.1.0"
__all__ = ["Bandit", "TabularMDP", "__version__", "audit", "diagnose", "stack"]


def __getattr__(name: str) -> Any:
    """`audit` and `diagnose`, imported when they are asked for: their libraries take a second to load."""
    if name == "audit":
        from distil_theory.auditing import audit

        return audit
    if name == "diagnose":
        from distil_theory.diagnosis import diagnose

        return diagnose
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

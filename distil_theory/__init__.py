"""Verify the theory of distilling from rich feedback (DistIL, arXiv 2606.05152)."""

from distil_theory.spec import Bandit, TabularMDP, stack

__version__ = "0.1.0"
__all__ = ["Bandit", "TabularMDP", "__version__", "stack"]

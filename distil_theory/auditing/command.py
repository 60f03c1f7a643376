"""`python -m distil_theory audit package.module:function`: the auditor for continuous integration."""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.epilog = "Exit status: 0 without faults, 1 with, 2 if the loss cannot be audited. See docs/audit.md."
    called = "loss(student_logits, teacher_logits[, mask][, labels]) -> scalar, or a number per token"
    parser.add_argument("loss", metavar="package.module:function", help=called)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the loss")
    parser.add_argument("--expect", metavar="NAME", help="the divergence it should descend, e.g. reverse_kl")
    parser.add_argument("--expect-reduction", metavar="NAME", help="the reduction it should have, e.g. token_mean")
    parser.add_argument("--json", metavar="FILE", help="write the report there")
    parser.add_argument("--figure", metavar="FILE", help="draw h there")
    parser.add_argument("--seed", type=int, default=0, help="of the random logits")


def main(options: argparse.Namespace) -> int:
    """Print the report; 0 without faults, 1 with, 2 if the loss cannot be audited."""
    from distil_theory.auditing import audit

    try:
        report = audit(
            find(options.loss),
            expect=options.expect,
            expect_reduction=options.expect_reduction,
            parameters=dict(map(setting, options.set)),
            seed=options.seed,
        )
        if options.figure and report.points is None:
            print(f"{report.loss} has no h to draw", file=sys.stderr)
        elif options.figure:
            report.figure(options.figure)
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump(report.as_dict(), file, indent=1)
                file.write("\n")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(report)
    return 0 if report.ok else 1


def setting(text: str) -> tuple[str, Any]:
    """`name=value`, the value a Python literal or else a word.

    Raises:
        ValueError: no equals sign.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ValueError(f"--set takes NAME=VALUE, not {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def find(path: str) -> Callable[..., Any]:
    """The function at `package.module:function`, attributes separated by dots; the current folder is searched too.

    Raises:
        ValueError: there is no such module or attribute.
    """
    module, colon, attributes = path.partition(":")
    if not colon or not module or not attributes:
        raise ValueError(f"a loss is named package.module:function, not {path!r}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:  # whatever its code raises, and no fault of a loss
        raise ValueError(f"cannot import {module}: {type(error).__name__}: {error}") from None
    for name in attributes.split("."):
        if not hasattr(found, name):
            raise ValueError(f"{module} has no {attributes}")
        found = getattr(found, name)
    return found

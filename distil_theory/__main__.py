"""`python -m distil_theory verify | check | audit | diagnose | report | explore`: each is a module of its own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from distil_theory import checker
from distil_theory.auditing import command as auditing
from distil_theory.claims import ledger
from distil_theory.diagnosis import command as diagnosis
from distil_theory.explorer import server
from distil_theory.report import command as report

COMMANDS: tuple[tuple[str, Any, str], ...] = (
    ("verify", ledger, "verify the claims: derivations, instances, certificates"),
    ("audit", auditing, "find out what a loss really computes"),
    ("report", report, "verify the claims and write a referee report, HTML and PDF"),
    ("diagnose", diagnosis, "what logged rollouts say: would a small step raise the reward?"),
    ("explore", server, "drag a student and an expert, see what a step does"),
)
"""Name, module with `add_arguments` and `main`, and what it is for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Dispatch; the exit status is the command's own."""
    parser = argparse.ArgumentParser(prog="python -m distil_theory", description="Verify the theory of distillation.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="re-verify certificates")
    check.add_argument("files", nargs="+", metavar="FILE")
    check.set_defaults(run=lambda options: checker.main(options.files))
    for name, module, purpose in COMMANDS:
        command = commands.add_parser(name, help=purpose)
        module.add_arguments(command)
        command.set_defaults(run=module.main)
    options = parser.parse_args(arguments)
    return int(options.run(options))


if __name__ == "__main__":
    sys.exit(main())

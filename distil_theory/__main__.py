"""`python -m distil_theory verify | check | audit | diagnose | report | explore`: each is a module of its own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from distil_theory import checker
from distil_theory.auditing import command
from distil_theory.claims import ledger
from distil_theory.diagnosis import command as diagnosis
from distil_theory.explorer import server
from distil_theory.report import command as report


def main(arguments: Sequence[str] | None = None) -> int:
    """Dispatch; the exit status is the command's own."""
    parser = argparse.ArgumentParser(prog="python -m distil_theory", description="Verify the theory of distillation.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="re-verify certificates")
    check.add_argument("files", nargs="+", metavar="FILE")
    check.set_defaults(run=lambda options: checker.main(options.files))
    verify = commands.add_parser("verify", help="verify the claims: derivations, instances, certificates")
    ledger.add_arguments(verify)
    verify.set_defaults(run=ledger.main)
    audit = commands.add_parser("audit", help="find out what a loss really computes")
    command.add_arguments(audit)
    audit.set_defaults(run=command.main)
    written = commands.add_parser("report", help="verify the claims and write a referee report, HTML and PDF")
    report.add_arguments(written)
    written.set_defaults(run=report.main)
    diagnose = commands.add_parser("diagnose", help="what logged rollouts say: would a small step raise the reward?")
    diagnosis.add_arguments(diagnose)
    diagnose.set_defaults(run=diagnosis.main)
    explore = commands.add_parser("explore", help="drag a student and an expert, see what a step does")
    server.add_arguments(explore)
    explore.set_defaults(run=server.main)
    options = parser.parse_args(arguments)
    return int(options.run(options))


if __name__ == "__main__":
    sys.exit(main())

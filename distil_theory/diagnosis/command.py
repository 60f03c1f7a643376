"""`python -m distil_theory diagnose FILE`: what logged rollouts say of each objective."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

STATUS = {"raises": 0, "lowers": 1}
UNREADABLE, OPEN = 2, 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.epilog = (
        "Exit status: 0; 2 if the log cannot be read. With --objective 0 if it raises the reward, 1 if it lowers it, "
        "3 if that is undecided, not identified or not to be trusted. See docs/diagnose.md."
    )
    parser.add_argument("log", metavar="FILE", help=".parquet, .csv or .jsonl, a rollout in each row")
    parser.add_argument("--objective", metavar="NAME", help="the one you train with, e.g. local/forward_kl")
    parser.add_argument(
        "--columns", nargs="+", default=[], metavar="OURS=YOURS", help="what the log calls a column: teacher=ref_logp"
    )
    parser.add_argument("--divergences", nargs="+", metavar="NAME", help="of which objectives; all of the catalogue")
    parser.add_argument("--clip", type=float, default=2.0, help="of prefix weights (2)")
    parser.add_argument("--level", type=float, default=0.95, help="of the intervals (0.95)")
    parser.add_argument("--reward-range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="possible rewards")
    parser.add_argument("--tail-ratios", nargs=2, type=float, metavar=("LOW", "HIGH"), help="of unlisted tokens")
    parser.add_argument("--drop-single", action="store_true", help="leave out groups of one where others have more")
    parser.add_argument("--words", metavar="FILE", help="JSON list of texts: the tokens by number")
    parser.add_argument("--json", metavar="FILE", help="write the report there")
    parser.add_argument("--figure", metavar="FILE", help="draw it there (.png, .pdf, .svg)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")


def main(options: argparse.Namespace) -> int:
    """Print the report; the exit status as in the epilogue."""
    from distil_theory import files
    from distil_theory.diagnosis import diagnose
    from distil_theory.diagnosis.report import NOT_IDENTIFIED
    from distil_theory.divergences import BY_NAME, named

    try:
        found = diagnose(
            options.log,
            columns=dict(map(renamed, options.columns)),
            divergences=tuple(map(named, options.divergences or BY_NAME)),
            clip=options.clip,
            level=options.level,
            reward_range=options.reward_range and tuple(options.reward_range),
            tail_ratios=options.tail_ratios and tuple(options.tail_ratios),
            drop_single=options.drop_single,
            words=texts(options.words),
            seed=options.seed,
        )
        verdict = found.verdict(options.objective) if options.objective else None
        if options.json:
            files.write(Path(options.json), json.dumps(found.as_dict(), indent=1) + "\n")
        if options.figure:
            found.figure(options.figure)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return UNREADABLE
    print(found)
    if verdict is None:
        return 0
    print(f"\n{options.objective}: {verdict}" + (" by this log" if verdict == NOT_IDENTIFIED else ""))
    return STATUS.get(verdict, OPEN)


def renamed(text: str) -> tuple[str, str]:
    """`ours=yours`; `ValueError` without an equals sign."""
    ours, equals, yours = text.partition("=")
    if not equals or not ours or not yours:
        raise ValueError(f"--columns takes OURS=YOURS, not {text!r}")
    return ours, yours


def texts(path: str | None) -> list[str] | None:
    """The texts of tokens by number; `ValueError` if the file holds no list of texts."""
    if path is None:
        return None
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise ValueError(f"{path} must hold a JSON list of texts")
    return found

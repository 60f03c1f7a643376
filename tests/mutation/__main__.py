"""`python -m tests.mutation [MODULE...]`: which small errors in the core would no test notice?

Runs the mutants of the modules (default: all), writes `results.csv` and `REPORT.md`, and exits with 1 if a survivor has
no reason in `reasons.csv`, or a score is below the limit. Interrupted, it goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy is imported

from tests.mutation import mutants, report, runner  # noqa: E402  # after the thread limits
from tests.mutation.plan import PLANS  # noqa: E402  # likewise

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "mutation"


def salt(module: str) -> str:
    """Changes with everything that an outcome depends on, except the mutated module."""
    digest = hashlib.sha256(repr(PLANS[module]).encode())
    tests = {name for stage in PLANS[module].stages for name in stage} | {"tests/conftest.py", "tests/problems.py"}
    for path in sorted({*(ROOT / "distil_theory").rglob("*.py"), *(ROOT / name for name in tests)}):
        if path != ROOT / "distil_theory" / f"{module}.py":
            digest.update(path.read_bytes())
    return digest.hexdigest()


def campaign(module: str, workers: int, only: set[tuple[str, ...]] | None) -> None:
    """All mutants of one module, into the table of results."""
    start, file = time.monotonic(), f"distil_theory/{module}.py"
    source = (ROOT / file).read_text(encoding="utf-8")
    every = mutants.mutants(module, source)
    wanted = [x for x in every if only is None or report.key(x._asdict()) in only]
    print(f"{module}: {len(wanted)} mutants", flush=True)

    named = {x.code: f"line {x.line}: {x.after}" for x in wanted}

    def progress(left: int, job: runner.Job, outcome: runner.Outcome) -> None:
        if outcome.verdict == runner.SURVIVED or left % 50 == 0:
            print(f"{module}: {left} left; {outcome.verdict} {named[job.code]}", flush=True)

    outcomes = runner.run(
        ROOT,
        file,
        [runner.Job(x.code, x.function) for x in wanted],
        PLANS[module].stages,
        without=PLANS[module].without,
        workers=workers,
        store=CACHE / f"{module}.jsonl",
        salt=salt(module),
        progress=progress,
    )
    rows = [x._asdict() | outcome._asdict() for x, outcome in zip(wanted, outcomes, strict=True)]
    report.save(module, rows, report.digest(source), partial=only is not None)
    print(f"{module}: {time.monotonic() - start:.0f} s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(PLANS))
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--survivors", action="store_true", help="only those that survived before, to try new tests")
    parser.add_argument("--report", action="store_true", help="run nothing, write the report from results.csv")
    args = parser.parse_args()
    if unknown := set(args.modules) - set(PLANS):
        parser.error(f"unknown module {', '.join(sorted(unknown))}: choose from {', '.join(PLANS)}")
    if not args.report:
        alive = {report.key(row) for row in report.load() if row["verdict"] == runner.SURVIVED}
        for module in args.modules or PLANS:
            campaign(module, args.workers, alive if args.survivors else None)
    complaints = report.write(ROOT)
    print("\n".join(complaints) or f"every survivor has its reason: {report.REPORT.relative_to(ROOT)}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

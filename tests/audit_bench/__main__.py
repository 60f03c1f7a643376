"""`python -m tests.audit_bench [--csv FILE] [--every N]`: audits the bench and prints the confusion tables."""

import argparse

import distil_theory
from tests.audit_bench import composed, named, table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", help="write every judged field and fault to this file")
    parser.add_argument("--every", type=int, default=1, help="only every N-th case")
    options = parser.parse_args()
    cases = (*named.NAMED, *composed.COMPOSED)[:: options.every]
    rows = table.run(distil_theory.audit, cases)
    print(table.text(rows))
    if options.csv:
        rows.to_csv(options.csv, index=False)
    return int((rows.kind == "error").any())


if __name__ == "__main__":
    raise SystemExit(main())

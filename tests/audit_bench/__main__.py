"""`python -m tests.audit_bench [--seed N] [--csv FILE] [--every N]`: audits the bench and prints the confusion tables.

With a seed: 200 losses composed anew instead of those of the tests.
"""

import argparse

import torch

import distil_theory
from tests.audit_bench import composed, named, table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", help="write every judged field and fault to this file")
    parser.add_argument("--every", type=int, default=1, help="only every N-th case")
    parser.add_argument("--seed", type=int, help="compose other losses, and audit those only")
    options = parser.parse_args()
    torch.set_num_threads(1)  # small tensors: a second thread only waits
    cases = (*named.NAMED, *composed.COMPOSED)
    if options.seed is not None:
        cases = tuple(composed.compose(number, options.seed) for number in range(len(composed.COMPOSED)))
    cases = cases[:: options.every]
    rows = table.run(distil_theory.audit, cases)
    print(table.text(rows))
    if options.csv:
        rows.to_csv(options.csv, index=False)
    return int((rows.kind == "error").any())


if __name__ == "__main__":
    raise SystemExit(main())

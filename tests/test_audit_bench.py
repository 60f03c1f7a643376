"""The auditor on every loss of the bench: whom it accuses, what it misses, how it names what it sees."""

import os

import pytest

import distil_theory

torch = pytest.importorskip("torch")

from tests.audit_bench import composed, named, table  # noqa: E402  # they need torch

CASES = (*named.NAMED, *composed.COMPOSED)[:: int(os.environ.get("AUDIT_BENCH_EVERY", "1"))]
pytestmark = [
    pytest.mark.skipif(not hasattr(distil_theory, "audit"), reason="distil_theory.audit does not exist yet"),
    pytest.mark.timeout(3600),
]


@pytest.fixture(scope="module")
def rows():
    torch.set_num_threads(1)  # small tensors: a second thread only waits
    return table.run(distil_theory.audit, CASES)


def test_no_audit_fails(rows):
    errors = rows[rows.kind == "error"]
    assert errors.empty, errors.to_string()


def test_no_loss_without_fault_is_accused(rows):
    accused = rows[rows.verdict == "falsely accused"]
    assert accused.empty, table.text(rows)


def test_faults_are_named(rows):
    assert table.share(rows, "fault", ("named", "missed")) >= 0.98, table.text(rows)


@pytest.mark.parametrize("field", ["divergence", "reduction"])
def test_divergences_and_reductions_are_right(rows, field):
    assert table.share(rows, "field", ("right", "wrong"), field) >= 0.98, table.text(rows)


@pytest.mark.parametrize("field", [f for f in table.FIELDS if f not in ("divergence", "reduction")])
def test_the_other_fields_are_right(rows, field):
    assert table.share(rows, "field", ("right", "wrong"), field) >= 0.95, table.text(rows)

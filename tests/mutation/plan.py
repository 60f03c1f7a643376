"""Which tests judge which module: the quick ones that are about it first, then all that use it and take little time.

Left out: tests that compare the text of the source (they would kill every mutant), measure speed, draw figures, or
search for minutes. What only they could see counts as a survivor.
"""

from __future__ import annotations

from typing import NamedTuple


class Plan(NamedTuple):
    """Stages of test files for one module, and tests left out."""

    stages: list[list[str]]
    without: tuple[str, ...] = ()


def _files(names: str) -> list[str]:
    return [f"tests/{name}.py" for name in names.split()]


PLANS = {
    "solve": Plan(
        [
            _files("test_solve_errors test_solve test_solve_oracles test_batching"),
            _files("test_instances test_spec test_envs test_objectives_claims"),
        ],
    ),
    "divergences": Plan(
        [
            _files("test_divergences_errors test_divergences"),
            _files("test_updates_errors test_objectives_claims test_future"),
        ],
    ),
    "point": Plan(
        [_files("test_objectives_claims test_objectives test_future"), _files("test_updates_errors test_batching")]
    ),
    "objectives": Plan(
        [
            _files("test_objectives_claims test_objectives"),
            _files("test_updates_errors test_updates_restricted test_future test_instances test_batching"),
        ],
    ),
    "updates": Plan(
        [_files("test_updates_errors test_updates_restricted test_updates"), _files("test_instances test_future")],
        (
            "tests/test_updates.py::test_finite_steps_have_the_rate[proximal",
            *(f"tests/test_updates.py::test_proximal_step_minimises[{eta}-" for eta in (0.05, 20.0)),
        ),
    ),
    "checker": Plan(
        [
            _files("test_checker_refusals test_checker_limits test_checker test_checker_numbers"),
            _files("test_checker_work test_certify"),
        ],
        (
            "tests/test_checker_work.py::test_every_file_comes_to_an_end",
            *("tests/test_certify.py::test_mutations", "tests/test_certify.py::test_the_commands"),
        ),
    ),
}

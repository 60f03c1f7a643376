"""Errors planted in the auditor: each is noticed by an audit whose right outcome is known."""

from dataclasses import replace

import pytest
import torch

from distil_theory import audit
from distil_theory.auditing import faults, identify, laws, masks, match, numerics, reduce, values, zones
from tests.auditing.faulty import CASES, forward, reverse, tail_bucket


def _swapped_directions():
    by_name = {law.name: law for law in laws.CATALOGUE}
    swap = {"forward_kl": "reverse_kl", "reverse_kl": "forward_kl"}
    return tuple(replace(by_name[swap.get(law.name, law.name)], name=law.name) for law in laws.CATALOGUE)


def _no_faults(*_):
    return iter(())


PLANTED = [
    ("the two KLs exchanged", match, "CATALOGUE", _swapped_directions(), forward),
    ("sums instead of means", reduce.RULES, "token_mean", lambda n, d: n, CASES["mask_ignored"][1]),
    ("a mask that is never shifted", reduce.MASKS, "shifted left", lambda m: m, CASES["mask_shifted"][0]),
    ("any fit is good enough", identify, "tolerances", lambda meter: (9.0, 9.0), CASES["double_softmax"][0]),
    ("temperature 1, always", identify, "_at_temperature", lambda *_: None, CASES["temperature_unscaled"][0]),
    ("what is hidden is seen", laws, "HIDDEN", 0.0, tail_bucket),
    ("no mixtures", identify, "both_kls", lambda *_: None, CASES["mixture_of_logs (normalised)"][0]),
    ("clamps unseen", zones, "_regions", _no_faults, CASES["dead_zone"][0]),
    ("only small logits", numerics, "extremes", _no_faults, CASES["overflow"][0]),
    ("slopes trusted", values, "derivative", lambda *_: (1.0, 1.0), CASES["gradient_not_of_value"][0]),
    ("differences unseen", masks, "_difference", lambda *_: 0.0, CASES["padding_dependent"][0]),
    ("every teacher constant", faults, "stops", lambda *_: True, CASES["teacher_gradient"][0]),
    ("every value right", values, "_against_laws", lambda *_: (laws.FORWARD_KL, 1.0), reverse),
]


def outcome(loss):
    found = audit(loss)
    return found.divergence, found.value, found.reduction, found.support, found.faults


@pytest.mark.parametrize(
    ("what", "where", "name", "wrong", "loss"), PLANTED, ids=lambda x: x if isinstance(x, str) else ""
)
def test_a_planted_error_is_noticed(what, where, name, wrong, loss, monkeypatch):
    torch.set_num_threads(1)
    right = outcome(loss)
    (monkeypatch.setitem if isinstance(where, dict) else monkeypatch.setattr)(where, name, wrong)
    assert outcome(loss) != right

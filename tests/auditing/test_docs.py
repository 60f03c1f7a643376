"""The page about audits shows true output, and its adapter works."""

import re

import pytest
import torch

from distil_theory import audit
from distil_theory import divergences as core
from distil_theory.worst_case import safe_gap
from tests import pages


@pytest.fixture(scope="module")
def examples():
    torch.set_num_threads(1)
    return pages.script("audit_examples")


def test_the_page_shows_what_an_audit_finds(examples):
    pages.assert_true(examples, examples.parts(with_trl=False))


def test_the_adapter_of_the_page_works():
    code = re.search(r"```python\n(def mine.*?)```", (pages.DOCS / "audit.md").read_text(encoding="utf-8"), re.DOTALL)[
        1
    ]
    scope = {"torch": torch}
    exec(code, scope)
    found = audit(scope["mine"], expect="forward_kl", expect_reduction="token_mean")
    assert found.ok, str(found)


def test_every_field_and_code_is_explained(examples):
    page = examples.PAGE.read_text(encoding="utf-8")
    found = audit(examples.kl_div_batchmean)
    unexplained = [name for name in found.as_dict() if f"`{name}`" not in page]
    assert unexplained == ["loss", "seconds", "calls", "ok"]


def test_the_losses_of_an_installed_trl(examples):
    pytest.importorskip("trl")
    found = {name: audit(loss) for name, loss in examples.TRL}
    assert found["GKD, beta 0"].divergence == "forward_kl"
    assert found["GKD, beta 1"].divergence == "reverse_kl"
    assert found["GKD, beta 0.1"].value == "generalized_js(0.1)"
    assert found["GKD, beta 0.5"].reduction == "token_mean"
    assert found["SDPO sampled token"].estimator == "policy_gradient"
    unnamed = [name for name, report in found.items() if report.divergence in ("none", "zero")]
    assert unnamed == ["IW-OPD sampled token, gamma 0.5"]  # its tokens depend on each other


def test_the_safe_gaps_of_the_decision_page():
    page = (pages.DOCS / "choose_a_loss.md").read_text(encoding="utf-8")
    gaps = [safe_gap(d, *r) for r in ((0.5, 2), (0.1, 10)) for d in (core.REVERSE_KL, core.JENSEN_SHANNON)]
    assert [f"{gap:.2g}" for gap in gaps] == ["0.058", "0.029", "0.48", "0.26"]
    assert "better by 0.058, JS and Hellinger by 0.029; in `[1/10, 10]` by 0.48 and 0.26" in page
    for r in ((0.5, 2), (0.1, 10)):
        assert safe_gap(core.HELLINGER, *r) <= safe_gap(core.JENSEN_SHANNON, *r)

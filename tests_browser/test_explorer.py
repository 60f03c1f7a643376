"""The explorer as a person uses it: by mouse, by keyboard, with mistakes, and without a network."""

import re
import subprocess
import sys

import numpy as np
import pytest

from distil_theory import Bandit, instances, objectives, solve, updates
from distil_theory import number_systems as ns
from distil_theory.divergences import BY_NAME, FORWARD_KL, REVERSE_KL
from distil_theory.explorer import presets, server

from .conftest import serving, settle

MINUS = "\N{MINUS SIGN}"


def number(page, selector):
    """The float that an output shows: the last one in it, `1/3 = 0.3333` having two."""
    text = page.locator(selector).inner_text().replace(MINUS, "-")
    return float(re.findall(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", text)[-1])


def field(page, name):
    return page.locator(f'[data-field="{name}"]')


def row(page, name):
    """A row of weights or rewards, in rationals."""
    texts = [field(page, f"{name}:{a}").input_value() for a in range(3)]
    x = ns.convert(texts, "rational")
    return (x if name.startswith("reward") else x / x.sum())[None, None]


def shown_is_right(page, divergence, geometry="natural"):
    """The rate on the page is the library's, for the numbers in the fields."""
    reward, pi, star = (row(page, f"{what}:0,0").astype(float) for what in ("reward", "student", "expert"))
    rate = objectives.improvement_rate(Bandit(reward[0, 0]), pi, star, divergence, geometry)
    assert number(page, "#rate") == pytest.approx(float(rate), rel=1e-3)


def test_the_page_has_its_mathematics_and_its_pictures(explorer):
    for formula in explorer.locator("#verdict math").all():
        box = formula.bounding_box()
        assert box["width"] > 20
        assert box["height"] > 10
    assert explorer.locator("#verdict math").count() == 3
    assert explorer.locator("#picture [data-arrow]").count() == 8  # seven divergences and the reward
    assert explorer.locator("#curves [data-curve]").count() == 8  # the same, and a tangent
    assert explorer.locator("#picture [data-zone='l']").get_attribute("d")
    assert "LOWERS" in explorer.locator("#small").inner_text()
    assert "claim 3" in explorer.locator("#small").inner_text()
    explorer.get_by_role("button", name="Help").click()
    assert explorer.locator("#help math").first.bounding_box()["width"] > 20


def test_keys_on_the_slider_move_the_change_to_what_the_library_computes(explorer):
    explorer.locator("#slider").focus()
    for _ in range(4):
        explorer.keyboard.press("ArrowRight")
    settle(explorer)
    eta = float(explorer.locator("#eta").input_value())
    assert eta == pytest.approx(0.7)
    case = instances.teaching_bandit().convert("float64")
    move = updates.direction(case.mdp, case.student, case.expert, REVERSE_KL)
    new = updates.exponential_step(case.mdp, case.student, move, eta)
    change = solve.expected_return(case.mdp, new) - solve.expected_return(case.mdp, case.student)
    assert number(explorer, "#change") == pytest.approx(float(change), rel=1e-3)
    assert explorer.locator("#eta-shown").inner_text() == "η = 0.7"


def test_the_expert_is_dragged_by_the_mouse(explorer):
    before = explorer.locator("#rate").inner_text()
    handle, triangle = explorer.locator("#handle-expert"), explorer.locator("#picture svg").bounding_box()
    box = handle.bounding_box()
    explorer.mouse.move(box["x"] + 12, box["y"] + box["height"] - 12)
    explorer.mouse.down()
    middle = triangle["x"] + triangle["width"] / 2
    explorer.mouse.move(middle, triangle["y"] + 0.8 * triangle["height"], steps=8)
    explorer.mouse.up()
    settle(explorer)
    assert explorer.locator("#rate").inner_text() != before
    weights = [int(field(explorer, f"expert:0,0:{a}").input_value()) for a in range(3)]
    assert sum(weights) == 100
    assert abs(weights[0] - weights[1]) < 12
    shown_is_right(explorer, REVERSE_KL)
    explorer.get_by_role("button", name="Undo").click()  # the whole drag at once
    settle(explorer)
    assert explorer.locator("#rate").inner_text() == before


@pytest.mark.parametrize(
    ("who", "key", "moved"),
    [
        ("student", "ArrowRight", (-1, 1, 0)),
        ("expert", "ArrowDown", (1, 0, -1)),
        ("expert", "Shift+Digit1", (5, -3, -2)),
    ],
)
def test_points_move_by_keys(explorer, who, key, moved):
    explorer.locator(f"#handle-{who}").focus()
    explorer.keyboard.press("ArrowLeft" if who == "expert" else "ArrowUp")
    settle(explorer)
    before = [int(field(explorer, f"{who}:0,0:{a}").input_value()) for a in range(3)]
    explorer.keyboard.press(key)
    settle(explorer)
    after = [int(field(explorer, f"{who}:0,0:{a}").input_value()) for a in range(3)]
    assert tuple(y - x for x, y in zip(before, after, strict=True)) == moved
    shown_is_right(explorer, REVERSE_KL)


def test_everything_is_reached_by_tab(explorer):
    reached = set()
    explorer.locator("#tab-one").focus()
    for _ in range(60):
        explorer.keyboard.press("Tab")
        reached.add(explorer.evaluate("() => document.activeElement.id || document.activeElement.dataset.field"))
    halo = "() => getComputedStyle(document.querySelector('#handle-student .halo')).stroke"
    explorer.locator("#end").focus()
    for _ in range(6):
        assert explorer.evaluate(halo) == "none"
        explorer.keyboard.press("Tab")
        if explorer.evaluate("() => document.activeElement.id") == "handle-student":
            break
    assert explorer.evaluate(halo) != "none"  # who is there sees where the keys go
    wanted = {"larger", "help-button", "preset", "divergence", "geometry", "slider", "eta", "end"}
    wanted |= {"handle-student", "handle-expert", "get-certificate", "get-example", "load-nearest"}
    wanted |= {f"{what}:0,0:{a}" for what in ("student", "expert", "reward") for a in range(3)}
    assert wanted <= reached


def test_settings_change_what_is_computed(explorer):
    for divergence in ("pearson_chi2", "hellinger"):
        explorer.select_option("#divergence", divergence)
        settle(explorer)
        shown_is_right(explorer, BY_NAME[divergence])
    explorer.select_option("#geometry", "euclidean")
    settle(explorer)
    shown_is_right(explorer, BY_NAME["hellinger"], "euclidean")
    field(explorer, "reward:0,0:2").fill("3/4")
    settle(explorer)
    shown_is_right(explorer, BY_NAME["hellinger"], "euclidean")
    explorer.locator("#legend [data-curve='forward_kl']").click()
    settle(explorer)
    assert explorer.locator("#divergence").input_value() == "forward_kl"
    shown_is_right(explorer, FORWARD_KL, "euclidean")


def test_arrow_keys_count_in_number_fields(explorer):
    field(explorer, "reward:0,0:2").focus()
    explorer.keyboard.press("ArrowUp")
    explorer.keyboard.press("ArrowUp")
    settle(explorer)
    assert field(explorer, "reward:0,0:2").input_value() == "0.2"
    shown_is_right(explorer, REVERSE_KL)


def test_a_bad_number_is_told_and_loses_nothing(explorer):
    rate = explorer.locator("#rate").inner_text()
    field(explorer, "expert:0,0:1").fill("x")
    settle(explorer)
    assert (
        "expert, action 2: write a number such as 2, 0.25 or 1/3, not 'x'" in explorer.locator("#faults").inner_text()
    )
    assert field(explorer, "expert:0,0:1").get_attribute("aria-invalid") == "true"
    assert explorer.locator("#rate").inner_text() == rate
    assert explorer.locator("#answer.stale #picture svg").count() == 1
    explorer.locator("#eta").fill("1/")
    settle(explorer)
    assert explorer.locator("#faults button").count() == 2
    explorer.reload()
    settle(explorer)  # what was typed, right or wrong, survives
    assert explorer.locator("#eta").input_value() == "1/"
    assert field(explorer, "expert:0,0:1").input_value() == "x"
    assert explorer.locator("#faults button").count() == 2
    explorer.locator("#eta").fill("1/4")
    settle(explorer)
    assert explorer.locator("#faults button").count() == 1
    explorer.get_by_role("button", name="Undo").click()
    settle(explorer)
    assert explorer.locator("#eta").input_value() == "1/"


def test_a_wrong_number_is_corrected_in_place(explorer):
    field(explorer, "expert:0,0:1").fill("")
    settle(explorer)
    assert "not nothing" in explorer.locator("#faults").inner_text()
    explorer.locator("#faults button").click()
    assert explorer.evaluate("() => document.activeElement.dataset.field") == "expert:0,0:1"
    explorer.keyboard.type("66")
    settle(explorer)
    assert explorer.locator("#faults").inner_text() == ""
    assert explorer.locator("#answer.stale").count() == 0
    shown_is_right(explorer, REVERSE_KL)


def test_ones_own_divergence(explorer):
    explorer.select_option("#divergence", "own")
    explorer.locator("#generator").fill("u * log(u) + u")
    settle(explorer)
    assert "f(1) must be 0, not 1" in explorer.locator("#faults").inner_text()
    explorer.locator("#generator").fill("-log(u)+(u-1)**2")
    settle(explorer)
    assert explorer.locator("#faults").inner_text() == ""
    reverse, pearson = (
        float(objectives.improvement_rate(*_teaching(), BY_NAME[d])) for d in ("reverse_kl", "pearson_chi2")
    )
    assert number(explorer, "#rate") == pytest.approx(reverse + pearson, rel=1e-3)


def _teaching():
    case = instances.teaching_bandit().convert("float64")
    return case.mdp, case.student, case.expert


def test_many_steps_compares_the_gradients(explorer):
    explorer.get_by_role("tab", name="Many steps").click()
    settle(explorer)
    assert "LOWERS" in explorer.locator("#small").inner_text()
    assert explorer.locator("#rate").inner_text().startswith(f"{MINUS}59/200")
    explorer.locator("#legend [data-curve='weighted']").click()
    settle(explorer)
    assert explorer.locator("#rate").inner_text().startswith("47/100")
    assert "claim 15" in explorer.locator("#small").inner_text()
    explorer.select_option("#preset", "horizon_chain")
    settle(explorer)
    explorer.get_by_role("textbox", name="horizon").fill("6")
    settle(explorer)
    chain = instances.horizon_chain(6)
    rate = objectives.improvement_rate(chain.mdp, chain.student, chain.expert, FORWARD_KL)
    assert number(explorer, "#rate") == pytest.approx(float(ns.convert(rate, "float64")), rel=1e-3)
    explorer.get_by_role("textbox", name="horizon").fill("60")
    settle(explorer)
    assert "horizon must be a whole number from 1 to 12" in explorer.locator("#faults").inner_text()
    assert explorer.get_by_role("textbox", name="horizon").get_attribute("aria-invalid") == "true"
    explorer.get_by_role("tab", name="One step").click()
    settle(explorer)
    assert explorer.locator("#preset").input_value() == "teaching_bandit"


def test_every_named_instance_is_drawn(explorer):
    for name in sorted(presets.BY_NAME, key=lambda name: presets.tab(presets.make(name)), reverse=True):
        tab = presets.tab(presets.make(name))
        explorer.locator(f"#tab-{tab}").click()
        explorer.select_option("#preset", name)
        settle(explorer)
        assert explorer.locator("#faults").inner_text() == "", name
        safe = name in ("compounding_chain", "unforgiving_chain", "hidden_trace", "tested_program")
        assert ("RAISES" if safe else "LOWERS") in explorer.locator("#small").inner_text(), name
        assert explorer.locator("#curves [data-curve]").count() >= (6 if tab == "one" else 4), name
        assert explorer.locator("#picture path").count() > 3, name
        start = int(np.argmax(presets.make(name).mdp.initial.astype(float)))
        assert explorer.locator(f"#table [data-row='reward:0,{start}']").count(), name
        assert explorer.locator("#divergence").input_value() == presets.settings(name).divergence, name


def test_an_exported_certificate_passes_check(explorer, tmp_path):
    explorer.locator("#handle-expert").focus()
    explorer.keyboard.press("ArrowLeft")
    settle(explorer)
    with explorer.expect_download() as arriving:
        explorer.get_by_role("button", name="Certificate").click()
    file = tmp_path / arriving.value.suggested_filename
    arriving.value.save_as(file)
    explorer.get_by_text("verified: only_forward_kl").wait_for()
    done = subprocess.run([sys.executable, "-m", "distil_theory", "check", str(file)], capture_output=True, text=True)
    assert (done.returncode, "verified" in done.stdout) == (0, True), done.stdout + done.stderr
    with explorer.expect_download() as arriving:
        explorer.get_by_role("button", name="example").click()
    assert arriving.value.suggested_filename == "test_my_teaching_bandit.py"
    assert "@example(pair=CASE).xfail" in arriving.value.path().read_text()


def test_the_nearest_certificate_is_loaded(explorer):
    explorer.locator("#load-nearest").click()
    settle(explorer)
    assert explorer.locator("#preset").input_value() == "certificate:teaching_reverse_kl"
    assert explorer.locator("#eta").input_value() == "1/10"


@pytest.mark.parametrize("width", [640, 1280, 1920])
def test_nothing_is_cut_off_at_the_side(explorer, width):
    explorer.set_viewport_size({"width": width, "height": 720})
    explorer.get_by_role("button", name="Certificate").click()
    explorer.get_by_text("verified: only_forward_kl").wait_for()
    for _ in range(3 if width > 640 else 0):
        explorer.get_by_role("button", name="Larger letters").click()
    assert explorer.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")


def test_a_server_that_is_gone_is_said(page):
    with serving(server.serve()) as address:
        page.goto(address)
        settle(page)
    page.route("**/api/look", lambda route: route.abort())
    page.locator("#eta").fill("3/4")
    settle(page)
    assert "does not answer" in page.locator("#faults").inner_text()
    assert page.locator("#eta").input_value() == "3/4"
    assert all("api/look" in said or "ERR_FAILED" in said for said in page.complaints)
    page.complaints.clear()

"""What a diagnosis says is true, says what it does not know, and refuses logs that are not of this student."""

import math
from dataclasses import replace

import numpy as np
import pytest

import distil_theory
from distil_theory.diagnosis import diagnose, naming
from distil_theory.divergences import BY_NAME, FORWARD_KL, REVERSE_KL
from distil_theory.horizon import HorizonCurve, safe_horizon
from distil_theory.worst_case import safe_gap
from tests.diagnosis.games import coins, rows, truth

HORIZON = 3


@pytest.fixture(scope="module")
def logs():
    return {form: rows(coins(400, 6, HORIZON, seed=1, form=form)) for form in ("sampled", "full", "top")}


@pytest.fixture(scope="module")
def found(logs):
    return {form: diagnose(log) for form, log in logs.items()}


@pytest.mark.parametrize("form", ["sampled", "full", "top"])
def test_rates_are_true(found, form):
    for rate in found[form].rates:
        if rate.level in ("local", "sequence") and not rate.unidentified and not rate.heavy:
            column = type("", (), {"level": rate.level, "divergence": BY_NAME[rate.divergence]})
            reach = max(rate.high - rate.value[1], rate.value[0] - rate.low)
            target = truth(column, HORIZON)
            assert rate.value[0] - 2 * reach < target < rate.value[1] + 2 * reach, rate.name
            assert rate.verdict == ("raises" if rate.value[0] == rate.value[1] else "undecided")


def test_what_a_log_identifies(found):
    names = {form: {r.name for r in d.rates if not r.unidentified} for form, d in found.items()}
    every = set(BY_NAME)
    full = {f"full/{d}" for d in every - {"reverse_kl"}}  # that of reverse KL is called sequence/reverse_kl
    sampled = {"local/forward_kl", "clipped/forward_kl", *(f"sequence/{d}" for d in every)}
    assert names["sampled"] == sampled
    assert names["full"] == sampled | full | {f"{level}/{d}" for level in ("local", "euclidean") for d in every}
    bounded = {"jensen_shannon", "hellinger", "total_variation", "neyman_chi2"}
    assert names["top"] == sampled | {f"local/{d}" for d in bounded - {"neyman_chi2"}}
    for d in found.values():
        unknown = {f"{level}/{name}" for level, name, _, _ in d.unidentified} | {
            r.name for r in d.rates if r.unidentified
        }
        assert unknown == (full | {f"{level}/{d}" for level in ("local", "sequence", "euclidean") for d in every}) - {
            r.name for r in d.rates if not r.unidentified
        }


def test_what_is_not_identified_has_no_number(found):
    assert "Not identified" not in str(found["full"])
    d = found["sampled"]
    with pytest.raises(KeyError, match="not identified: its score needs"):
        d["local/reverse_kl"]
    for entry in d.as_dict()["rates"]:
        assert ("value" in entry) == (entry["verdict"] != "not identified") == ("why" not in entry)
    text = str(d)
    assert "local reverse KL (SDPO), Jensen-Shannon (OPSD)" in text
    assert not [line for line in text.splitlines() if line.startswith("  local reverse KL")]
    assert d.verdict("local/reverse_kl") == "not identified"
    with pytest.raises(ValueError, match="there is no objective 'local/reverse'"):
        d.verdict("local/reverse")


def test_lists_bound_what_whole_distributions_tell(found, logs):
    bounded = diagnose(logs["top"], tail_ratios=(0.5, 2))  # the tail is one token, of ratio 2
    for name in ("reverse_kl", "pearson_chi2", "neyman_chi2", "jensen_shannon", "total_variation"):
        low, high = bounded[f"local/{name}"].value
        exact = found["full"][f"local/{name}"].value[0]
        assert low - 1e-9 <= exact <= high + 1e-9
    rate = next(r for r in found["top"].rates if r.name == "local/reverse_kl")
    assert rate.unidentified == naming.NEEDS_TAIL
    assert rate.verdict == "not identified"
    loose, tight = found["top"]["local/hellinger"], bounded["local/hellinger"]
    assert loose.value[0] <= tight.value[0] + 1e-9
    assert tight.value[1] <= loose.value[1] + 1e-9


def test_lists_of_all_tokens_in_single_precision_are_whole_distributions(found, logs):
    listed = []
    for x in logs["full"]:
        row = {k: v for k, v in x.items() if not k.endswith("full")} | {"top": [[1, 0]] * HORIZON}
        for who in ("student", "teacher"):
            row[f"{who}_top"] = np.array(x[f"{who}_full"], dtype=np.float32)[:, ::-1].tolist()
        listed.append(row)
    d = diagnose(listed)
    for name in ("reverse_kl", "pearson_chi2", "jensen_shannon"):
        rate, exact = d[f"local/{name}"], found["full"][f"local/{name}"]
        assert rate.value == pytest.approx(exact.value, rel=1e-4)
        assert rate.verdict == exact.verdict


def test_positions_and_tokens_add_up(found):
    for rate in found["full"].rates:
        assert [p.name for p in rate.positions] == ["1", "2", "3"]
        assert math.isclose(sum(p.value for p in rate.positions), rate.value[0], rel_tol=1e-9, abs_tol=1e-12)
    local = found["full"]["local/forward_kl"]
    assert {t.name for t in local.tokens} == {"token 0", "token 1"}
    assert math.isclose(sum(t.value for t in local.tokens), local.value[0], rel_tol=1e-9)


def test_only_tokens_that_stand_out_are_named():
    log = rows(coins(200, 4, 30, seed=3, slope=0.0))  # the reward is a coin of its own
    rng = np.random.default_rng(0)
    for x in log:
        x["tokens"] = rng.integers(0, 500, 30).tolist()
    d = diagnose(log, divergences=[FORWARD_KL, REVERSE_KL])
    assert not any(rate.tokens for rate in d.rates)
    words = [f"word {i}" for i in range(500)]
    for x in log:
        x["tokens"] = [
            7 if u > 0 else t for u, t in zip(np.subtract(x["teacher"], x["student"]), x["tokens"], strict=True)
        ]
        x["reward"] = x["tokens"].count(7) / 30
    local = diagnose(log, divergences=[FORWARD_KL], words=words)["local/forward_kl"]
    assert local.tokens[0].name == "'word 7'"


def test_how_the_log_is_cut_does_not_matter(found, logs, monkeypatch):
    monkeypatch.setattr("distil_theory.diagnosis.sources.ROWS", 37)
    monkeypatch.setattr("distil_theory.diagnosis.reading.CELLS", 100)
    again = diagnose(logs["sampled"])
    for one, other in zip(found["sampled"].rates, again.rates, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-9)
        assert one.high == pytest.approx(other.high, abs=0.2 * (one.high - one.value[0]))
        assert [p.value for p in one.positions] == pytest.approx([p.value for p in other.positions])


def test_groups_of_one_identify_what_has_mean_zero():
    log = [x | {"group": i} for i, x in enumerate(rows(coins(3000, 1, HORIZON, seed=2)))]
    d = diagnose(log)
    assert {r.name for r in d.rates} == {"local/forward_kl", "clipped/forward_kl", "sequence/forward_kl"}
    local = d["local/forward_kl"]
    column = type("", (), {"level": "local", "divergence": FORWARD_KL})
    assert abs(local.value[0] - truth(column, HORIZON)) < 2 * (local.high - local.value[0])
    with pytest.raises(KeyError, match="takes two rollouts"):
        d["sequence/reverse_kl"]


def test_groups_of_one_have_a_baseline_however_the_log_is_cut(monkeypatch):
    log = [x | {"group": i, "reward": x["reward"] + 5} for i, x in enumerate(rows(coins(3000, 1, HORIZON, seed=2)))]
    whole = diagnose(log)["local/forward_kl"]
    monkeypatch.setattr("distil_theory.diagnosis.reading.CELLS", 1)  # as whole distributions of a large vocabulary do
    single = diagnose(log)["local/forward_kl"]
    assert single.value[0] == pytest.approx(whole.value[0], abs=whole.high - whole.value[0])
    assert single.high - single.low < 1.1 * (whole.high - whole.low)
    assert single.value[0] == pytest.approx(sum(p.value for p in single.positions))


def test_listed_tokens_may_be_masked(logs):
    log = [dict(x) for x in logs["top"]]
    for x in log:
        x["top"] = [[0, 5] for _ in x["tokens"]]
        x["student_top"], x["teacher_top"] = (
            [[row[0], other] for row in x[name]] for name, other in (("student_top", -math.inf), ("teacher_top", -8.0))
        )
    low, high = diagnose(log, divergences=[FORWARD_KL, BY_NAME["hellinger"]])["local/hellinger"].value
    assert -math.inf < low < high < math.inf


def test_ratios_beyond_every_float_have_no_number(logs):
    log = [dict(x) for x in logs["sampled"]]
    for i in range(40):
        log[20 + i]["student"] = [-800.0, *log[20 + i]["student"][1:]]
    d = diagnose(log)
    assert {r.unidentified for r in d.rates if r.name in ("local/forward_kl", "sequence/hellinger")} == {naming.BEYOND}
    assert not [x for r in d.as_dict()["rates"] for x in (r.get("value"), r.get("low")) if x is None and "value" in r]


def test_the_summary_knows_of_plain_gradients(found):
    d = found["full"]
    assert "Of none that this log identifies" in d.as_dict()["summary"]
    fallen = [replace(r, low=-2.0, high=-1.0) if r.level == "euclidean" else r for r in d.rates]
    words = replace(d, rates=tuple(fallen)).as_dict()["summary"]
    assert "Plain gradients LOWER it" in words
    assert "Of none that this log identifies" not in words


def test_a_token_that_the_teacher_abandons(logs):
    log = [dict(x) for x in logs["sampled"]]
    log[20]["teacher"] = [-math.inf, *log[20]["teacher"][1:]]
    d = diagnose(log)
    unknown = {r.name for r in d.rates if r.unidentified}
    assert unknown == {"sequence/reverse_kl", "sequence/neyman_chi2"}
    assert {r.unidentified for r in d.rates if r.unidentified} == {naming.ABANDONED}
    assert d["local/forward_kl"].value[0] == pytest.approx(
        diagnose(logs["sampled"])["local/forward_kl"].value[0], rel=0.05
    )
    assert "not identified. The teacher gives probability 0" in " ".join(str(d).split())


def spoiled(kind):
    """A good log, spoiled in a way that real logs are."""
    log = rows(coins(300, 4, 6, seed=4, low=0.7, high=1.6))
    for x in log:
        student, teacher = np.array(x["student"]), np.array(x["teacher"])
        if kind == "read":  # its context was made from this rollout
            x["teacher"] = np.minimum(teacher + 0.2, 0).tolist()
        elif kind == "shifted":
            x["teacher"] = np.roll(teacher, 1).tolist()
        elif kind == "hot":  # drawn at another temperature than logged: the rarer token is logged as too rare
            x["student"] = np.where(np.array(x["tokens"]) == 1, student - 0.3, student).tolist()
    return log


@pytest.mark.parametrize("kind", ["read", "shifted", "hot"])
def test_logs_of_another_student_or_teacher_are_void(kind):
    d = diagnose(spoiled(kind))
    assert d.above or d.below
    assert {r.verdict for r in d.rates} == {"void"}
    assert any(words.startswith("VOID") for words in d.warnings)
    assert "Nothing can be said of any objective" in str(d)
    assert "safe" not in str(d)
    report = d.as_dict()
    assert report["void"]
    assert not report["guarantees"]["answers"]
    assert report["guarantees"]["local"] is None


def test_a_log_that_is_off_by_the_same_everywhere_is_void(logs):
    d = diagnose([x | {"teacher": [-math.inf] * HORIZON} for x in logs["sampled"]], divergences=[FORWARD_KL])
    assert d.below
    assert "in every group below 0" in " ".join(str(d).split())
    same = diagnose([x | {"teacher": [y + 1e-12 for y in x["student"]]} for x in logs["sampled"]])
    assert not same.above


def test_good_logs_are_not_void():
    assert not any(d.above or d.below for d in (diagnose(rows(coins(60, 4, 4, seed=s))) for s in range(20)))


def test_guarantees_are_those_of_the_theorems(found):
    g = found["full"].guarantees
    assert g.token_ratio == pytest.approx((0.5, 2))
    assert g.answer_ratio == pytest.approx((1 / 8, 8))
    assert g.answers["reverse_kl"] == pytest.approx(safe_gap(REVERSE_KL, 1 / 8, 8))
    assert g.local == pytest.approx(HorizonCurve(HORIZON, 0.5, 2).safe_gap())
    assert g.chi2 == pytest.approx(0.5)
    assert g.horizon == safe_horizon(g.gap[1], g.chi2)
    assert found["sampled"].guarantees.chi2 is None
    assert found["sampled"].guarantees.horizon is None
    assert "safe horizon (claim 16): not identified" in str(found["sampled"])


def test_the_safe_horizon_is_that_of_the_lower_end_of_the_gap():
    g = diagnose(rows(coins(300, 4, 4, seed=8, low=0.9, high=1.1, form="full")), divergences=[FORWARD_KL]).guarantees
    assert 0 < safe_horizon(g.gap[1], g.chi2) < safe_horizon(g.gap[2], g.chi2)
    assert g.horizon == safe_horizon(g.gap[1], g.chi2)


def test_no_horizon_follows_from_a_gap_that_is_not_to_be_trusted():
    d = diagnose(rows(coins(15, 16, 3, slope=2, seed=3, form="full")), divergences=[FORWARD_KL])
    rate = d["sequence/forward_kl"]
    assert rate.verdict == "not to be trusted"
    assert rate.low > 0
    assert d.guarantees.horizon is None
    assert math.isnan(d.guarantees.gap[0])
    assert "safe horizon (claim 16): none, for the gap is not known, or not to be trusted" in " ".join(str(d).split())
    assert next(r for r in d.as_dict()["rates"] if r["name"] == rate.name)["doubt"].endswith(
        "of 15 groups carry the variance"
    )


def test_what_a_clip_may_change():
    block = coins(4000, 4, 4, seed=7)
    d = diagnose(rows(block), clip=1.5, divergences=[FORWARD_KL])
    # E sum (Lambda - c)^+ |u - 1|/2 over the tree of labels; E|u - 1|/2 = 1/3
    every = [
        (2.0**k / 2 ** (h - k), math.comb(h, k) * (1 / 3) ** k * (2 / 3) ** (h - k))
        for h in range(4)
        for k in range(h + 1)
    ]
    exact = sum(p * max(w - 1.5, 0) / 3 for w, p in every)
    assert d.seen.clipped_away == pytest.approx(exact, rel=0.05)
    assert abs(d["clipped/forward_kl"].value[0] - d["sequence/forward_kl"].value[0]) < d.seen.clipped_away
    assert f"at most {d.seen.clipped_away:.2g} of the reward's range" in " ".join(str(d).split())


def test_gaps_are_in_units_of_the_rewards_range(logs, found):
    wide = diagnose(logs["full"], reward_range=(-1, 3)).guarantees.gap
    assert wide == pytest.approx([x / 4 for x in found["full"].guarantees.gap])
    with pytest.raises(ValueError, match=r"rewards lie in \[0, 1\], outside reward_range"):
        diagnose(logs["full"], reward_range=(0, 0.5))


def test_nothing_to_learn_is_said(logs):
    d = diagnose([x | {"reward": 1.0} for x in logs["sampled"]])
    assert {r.verdict for r in d.rates} == {"not to be trusted"}
    assert any("in no group do rewards differ" in words for words in d.warnings)
    few = diagnose(logs["sampled"][:48])
    assert any("only 8 groups" in words for words in few.warnings)


def test_an_undecided_rate_says_how_many_groups_might_tell():
    d = diagnose(rows(coins(100, 4, 3, seed=6, slope=0.1)), divergences=[FORWARD_KL])
    local = d["local/forward_kl"]
    assert local.verdict == "undecided"
    assert "undecided; about" in str(d)
    assert "Undecided: local forward KL" in d.as_dict()["summary"]


WRONG = [
    ({"clip": 0}, "clip must be positive"),
    ({"level": 1}, "level must lie between 0 and 1"),
    ({"reward_range": (1, 0)}, "reward_range must be two increasing numbers"),
    ({"tail_ratios": (1, 2)}, "tail_ratios must have"),
    ({"replicates": 10}, "need more than 10 replicates"),
    ({"divergences": ["forward_kl"]}, "divergence must be an FDivergence"),
    ({"columns": {"students": "x"}}, "there is no column 'students' to rename"),
    ({"columns": {"student": "x"}}, "missing column 'x'"),
]


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_wrong_options_are_one_sentence(logs, options, words):
    with pytest.raises(ValueError, match=words):
        distil_theory.diagnose(logs["sampled"], **options)

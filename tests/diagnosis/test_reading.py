"""A log is the same from every kind of file, in bounded pieces; and every fault is one sentence that names the row."""

import json
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distil_theory.diagnosis import reading
from distil_theory.diagnosis.log import join
from distil_theory.diagnosis.reading import Log
from tests.diagnosis.games import coins, rows

FIELDS = ("groups", "starts", "reward", "student", "teacher", "tokens", "student_full", "teacher_full")
FIELDS_TOP = (*FIELDS[:6], "top", "student_top", "teacher_top")


def write(path, dictionaries):
    frame = pd.DataFrame(dictionaries)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(x) + "\n" for x in dictionaries))
    else:
        lists = [c for c in frame.columns if c not in ("group", "reward")]
        frame.assign(**{c: frame[c].map(json.dumps) for c in lists}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("form", ["sampled", "full", "top"])
@pytest.mark.parametrize("kind", [".parquet", ".csv", ".jsonl", "frame", "dictionaries"])
def test_every_kind_of_log_says_the_same(tmp_path, form, kind):
    block = coins(40, 3, 4, form=form)
    written = rows(block)
    if kind == "frame":
        source = pd.DataFrame(written).map(
            lambda x: np.array(x) if isinstance(x, list) and not isinstance(x[0], list) else x
        )
    else:
        source = iter(written) if kind == "dictionaries" else write(tmp_path / f"log{kind}", written)
    found = join(list(Log(source)))
    for field in FIELDS_TOP if form == "top" else FIELDS:
        ours, theirs = getattr(block, field), getattr(found, field)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_allclose(theirs, ours, rtol=1e-12)


def test_groups_stay_whole_across_reads_and_pieces(monkeypatch):
    monkeypatch.setattr("distil_theory.diagnosis.sources.ROWS", 5)
    monkeypatch.setattr(reading, "CELLS", 30)
    block = coins(20, 7, 4)
    pieces = list(Log(rows(block)))
    assert len(pieces) > 10
    assert all((p.sizes == 7).all() for p in pieces)
    assert max(len(p.student) for p in pieces) == 28
    assert [p.row for p in pieces] == [1 + 7 * i for i in range(20)]
    np.testing.assert_array_equal(join(pieces).teacher, block.teacher)


def test_texts_are_tokens_and_columns_may_have_other_names():
    written = [
        {"prompt": x["group"], "score": x["reward"] > 0, "lp": x["student"], "teacher": x["teacher"],
         "text": [("no", "yes")[t] for t in x["tokens"]]}
        for x in rows(coins(10, 2, 3))
    ]  # fmt: skip
    log = Log(written, {"group": "prompt", "reward": "score", "student": "lp", "tokens": "text"})
    block = join(list(log))
    words = list(log.reader.words)
    assert [words[t] for t in block.tokens[:3]] == written[0]["text"]
    assert set(block.reward) == {0.0, 1.0}


def changed(i, **columns):
    """Six good rows, in one of which (from 0) something is wrong."""
    found = rows(coins(3, 2, 3))
    for name, value in columns.items():
        found[i][name] = value(found[i][name]) if callable(value) else value
    return found


def put(t, value):
    return lambda old: [*old[:t], value, *old[t + 1 :]]


FAULTS = {
    "nan": (changed(2, student=put(1, math.nan)), "row 3: student[1] is missing or NaN"),
    "missing number": (changed(2, teacher=put(1, None)), "row 3: teacher[1] is missing or NaN"),
    "probability": (changed(3, teacher=put(0, 0.4)), "row 4: teacher[0] is 0.4: a log-probability is at most 0"),
    "impossible": (changed(4, student=put(2, -math.inf)), "row 5: student[2] is -inf, but the student wrote it"),
    "lengths": (changed(1, teacher=lambda x: x[:2]), "row 2: student has 3 tokens, teacher has 2"),
    "token lengths": (changed(1, tokens=[0]), "row 2: student has 3 tokens, tokens has 1"),
    "empty rollout": (changed(5, student=[], teacher=[], tokens=[]), "row 6: student is empty"),
    "no list": (changed(0, student=-1.0), "row 2: student is [-"),
    "text": (changed(3, student=["a", "b", "c"]), "row 4: student is ['a', 'b', 'c']"),
    "no reward": (changed(1, reward=None), "row 2: reward is None, not a finite number"),
    "nan reward": (changed(1, reward=math.nan), "row 2: reward is nan, not a finite number"),
    "text reward": (changed(1, reward="good"), "row 2: reward is 'good'"),
    "no group": (changed(1, group=None), "row 2: group is None"),
    "empty group": (changed(1, group=""), "row 2: group is ''"),
    "huge reward": (changed(3, reward=10**400), "row 4: reward is 1000"),
    "large reward": (changed(3, reward=1e300), "row 4: reward is 1e+300, too large"),
    "huge token": (changed(2, tokens=put(1, 10**12)), "row 3: tokens[1] is 1000000000000: no vocabulary is so large"),
    "unsorted": (changed(5, group="g0"), "row 6: group 'g0' comes back after others"),
    "one": (changed(5, group="alone"), "row 5: this group is one rollout, others have more"),
    "negative token": (changed(5, tokens=[0, -1, 0]), "row 6: tokens[1] is negative"),
    "fractional token": (changed(0, tokens=[0.5, 1.0, 0.0]), "row 1: tokens is [0.5, 1.0, 0.0], not a list"),
    "no teacher": ([{k: v for k, v in x.items() if k != "teacher"} for x in changed(0)], "missing column 'teacher'"),
    "later no teacher": ([*changed(0)[:5], {"group": 1}], "row 6: missing column 'reward'"),
    "no row": ([*changed(0)[:2], "text"], "row 3: a rollout is a dictionary of columns, not 'text'"),
    "empty": ([], "the log is empty"),
    "number": (3, "rollouts must be a file"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_sentence_with_its_row(name):
    source, words = FAULTS[name]
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the words are compared below
        list(Log(source))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def changed_table(form, i, **columns):
    found = rows(coins(3, 2, 3, form=form))
    for name, value in columns.items():
        found[i][name] = value(found[i][name])
    return found


def cell(t, v, value):
    return lambda table: [[value if (s, w) == (t, v) else x for w, x in enumerate(row)] for s, row in enumerate(table)]


TABLE_FAULTS = {
    "sum": ("full", {"student_full": cell(1, 0, -5.0)}, "row 2: student_full[1] sums to"),
    "own": ("full", {"student": put(2, -3.0)}, "row 2: student[2] is -3, but student_full gives this token"),
    "nan": ("full", {"teacher_full": cell(0, 1, math.nan)}, "row 2: teacher_full[0] has nan at 1"),
    "positive": ("full", {"teacher_full": cell(0, 1, 0.5)}, "row 2: teacher_full[0] has 0.5 at 1"),
    "width": ("full", {"student_full": lambda x: [x[0], [0.0], x[2]]}, "row 2: student_full[1] has 1 entries"),
    "length": ("full", {"student_full": lambda x: x[:2]}, "row 2: student has 3 tokens, student_full has 2"),
    "vocabulary": ("full", {"tokens": put(0, 2)}, "row 2: tokens[0] is 2, but distributions have 2 entries"),
    "mass": ("top", {"student_top": cell(0, 0, -0.01)}, "row 2: student_top[0] sums to"),
    "no token": ("top", {"top": cell(1, 0, 0.5)}, "row 2: top[1] has 0.5 at 0, which is no token"),
    "flat": ("top", {"student_top": lambda x: [0.1, 0.2, 0.3]}, "row 2: student_top is [0.1, 0.2, 0.3], unlike"),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE_FAULTS)
def test_a_fault_of_distributions_is_one_sentence_with_its_row(name):
    form, columns, words = TABLE_FAULTS[name]
    with pytest.raises(ValueError) as error:  # noqa: PT011
        list(Log(changed_table(form, 1, **columns)))
    assert words in str(error.value)


def test_listed_tokens_are_checked():
    found = rows(coins(3, 2, 3, form="top"))
    for x in found:
        x["top"] = [[0, 0] for _ in x["tokens"]]
        x["student_top"], x["teacher_top"] = ([[-1.0, -1.5] for _ in x["tokens"]] for _ in range(2))
    with pytest.raises(ValueError, match=r"row 1: top\[0\] lists a token twice"):
        list(Log(found))
    found = rows(coins(3, 2, 3, form="top"))
    del found[0]["tokens"]
    with pytest.raises(ValueError, match="missing column 'tokens'"):
        list(Log(found))


@pytest.mark.parametrize("form", ["full", "top"])
def test_texts_do_not_index_distributions(form):
    found = rows(coins(3, 2, 3, form=form))
    for x in found:
        x["tokens"] = [("no", "yes")[t] for t in x["tokens"]]
    with pytest.raises(ValueError, match="row 1: tokens are texts, but distributions need them as whole numbers"):
        list(Log(found))


def test_faults_of_files(tmp_path):
    for name, words in (("log.txt", "a log ends in .parquet, .csv, .jsonl"), ("none.csv", "there is no file")):
        with pytest.raises(ValueError, match=words):
            list(Log(tmp_path / name))
    (tmp_path / "bad.parquet").write_text("no parquet")
    with pytest.raises(ValueError, match=r"bad.parquet is no parquet file"):
        list(Log(tmp_path / "bad.parquet"))
    good = [json.dumps(x) for x in changed(0)]
    (tmp_path / "cut.jsonl").write_text("\n".join([*good[:3], good[3][:20]]))
    with pytest.raises(ValueError, match="row 4: no JSON"):
        list(Log(tmp_path / "cut.jsonl"))
    path = write(tmp_path / "log.csv", changed(0))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], "g1,1"]))
    with pytest.raises(ValueError, match="row 4: the row ends before column 'student'"):
        list(Log(path))
    path.write_text("\n".join([*lines[:4], 'g1,1,"[1, ",[0],[0]']))
    with pytest.raises(ValueError, match=r"row 4: student: no JSON \(Expecting value\): '\[1,'"):
        list(Log(path))
    pq.write_table(
        pa.table({"group": [1], "reward": [1.0], "student": [-1.0], "teacher": [[-1.0]]}), tmp_path / "x.parquet"
    )
    with pytest.raises(ValueError, match=r"row 1: student is -1.0, not a list"):
        list(Log(tmp_path / "x.parquet"))


def test_files_as_spreadsheets_and_pandas_write_them(tmp_path):
    frame = pd.DataFrame([x | {"reward": x["reward"] > 0} for x in changed(0)])
    frame.to_csv(tmp_path / "log.csv", index=False, encoding="utf-8-sig")
    assert (tmp_path / "log.csv").read_bytes()[:3] == b"\xef\xbb\xbf"
    found = join(list(Log(tmp_path / "log.csv")))
    np.testing.assert_array_equal(found.reward, frame["reward"])


def test_groups_of_one(monkeypatch):
    alone = [x | {"group": i} for i, x in enumerate(changed(0))]
    assert all((b.sizes == 1).all() for b in Log(alone))
    mixed = [*changed(0), alone[0] | {"group": "single"}, *(x | {"group": "last"} for x in changed(0))]
    log = Log(mixed, drop_single=True)
    assert [b.sizes.tolist() for b in log] == [[2, 2, 2], [6]]
    assert log.dropped == 1
    with pytest.raises(ValueError, match="every group is a single rollout"):
        list(Log(alone, drop_single=True))

"""`python -m distil_theory diagnose`: exit status, one sentence for a bad log, JSON, a picture."""

import json
import subprocess
import sys

import pytest

from distil_theory.__main__ import main
from tests.diagnosis.games import coins, rows


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    path.write_text("".join(json.dumps(x) + "\n" for x in rows(coins(150, 4, 3))))
    return path


@pytest.fixture(scope="module")
def falling(log):
    path = log.with_name("falling.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    path.write_text("".join(json.dumps(x | {"reward": -x["reward"]}) + "\n" for x in lines))
    return path


def test_report_json_and_picture(log, tmp_path, capsys):
    files = ["--json", str(tmp_path / "d.json"), "--figure", str(tmp_path / "d.png")]
    assert main(["diagnose", str(log), *files]) == 0
    out = capsys.readouterr().out
    assert out.startswith("log.jsonl: 600 rollouts in 150 groups of 4, 3 tokens each")
    report = json.loads((tmp_path / "d.json").read_text())
    assert report["groups"] == 150
    assert {r["name"]: r["verdict"] for r in report["rates"]}["local/reverse_kl"] == "not identified"
    assert (tmp_path / "d.png").stat().st_size > 20_000
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("objective", "status"), [("local/forward_kl", 0), ("sequence/pearson_chi2", 3), ("local/reverse_kl", 3)]
)
def test_status_of_an_objective(log, objective, status):
    assert main(["diagnose", str(log), "--objective", objective]) == status


def test_an_objective_that_lowers_the_reward(falling, capsys):
    assert main(["diagnose", str(falling), "--objective", "local/forward_kl"]) == 1
    out = capsys.readouterr().out
    assert "step LOWERS the reward with local forward KL" in out
    assert out.endswith("local/forward_kl: lowers\n")


BAD = [
    (["--objective", "local"], "there is no objective 'local'"),
    (["--divergences", "kl"], "unknown divergence 'kl'"),
    (["--columns", "student"], "--columns takes OURS=YOURS"),
    (["--columns", "student=x"], "missing column 'x'"),
    (["--words", "words.json"], "No such file"),
    (["--level", "2"], "level must lie"),
]


@pytest.mark.parametrize(("options", "words"), BAD)
def test_bad_input_is_one_sentence_and_status_2(log, options, words, capsys):
    assert main(["diagnose", str(log), *options]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_bad_log_names_its_row(log, tmp_path):
    lines = log.read_text().splitlines()
    lines[30] = lines[30].replace('"reward": ', '"reward": "x", "r": ')
    (tmp_path / "bad.jsonl").write_text("\n".join(lines))
    command = [
        sys.executable,
        "-m",
        "distil_theory",
        "diagnose",
        str(tmp_path / "bad.jsonl"),
        "--json",
        str(tmp_path / "d"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: row 31: reward is 'x', unlike the rows before: one type of number or list\n"
    assert done.stdout == ""
    assert not (tmp_path / "d").exists()


def test_texts_of_tokens(log, tmp_path, capsys):
    (tmp_path / "words.json").write_text('["no", "yes"]')
    assert main(["diagnose", str(log), "--words", str(tmp_path / "words.json")]) == 0
    assert "tokens 'yes' (+" in " ".join(capsys.readouterr().out.split())
    (tmp_path / "words.json").write_text("{}")
    assert main(["diagnose", str(log), "--words", str(tmp_path / "words.json")]) == 2

"""The example of docs/train.md runs as it stands, on a small model and for two steps."""

import re
from pathlib import Path

from distil_theory.llm import models
from distil_theory.llm.training import DistILConfig
from tests.llm.training import small  # noqa: F401  # before anything asks a hub

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "train.md").read_text(encoding="utf-8")


def test_the_example_runs(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 22
    code = code.replace('"products"', f'"{tmp_path}"').replace('"max_steps": 40', '"max_steps": 2, "report_to": "none"')
    monkeypatch.setattr(models, "smollm2", lambda: models.tiny(tmp_path / "tiny", characters=models.CHARACTERS))
    space = {}
    exec(code, space)
    trainer = space["trainer"]
    assert trainer.state.global_step == 2
    logged = {name for entry in trainer.state.log_history for name in entry}
    assert set(re.findall(r"`(distil/\w+)`", PAGE)) <= logged


def test_every_argument_that_the_page_names_exists():
    named = set(re.findall(r"`(\w+)=", PAGE))
    assert len(named) > 10
    assert named - {"divergence"} <= set(DistILConfig.__dataclass_fields__)

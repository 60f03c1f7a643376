"""What a user installs, and the two commands the README promises."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_wheel_holds_the_typed_library_only(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"distil_theory"}
    assert "distil_theory/py.typed" in names
    shipped = {
        f"distil_theory/certificates/{path.name}" for path in (ROOT / "distil_theory/certificates").glob("*.json")
    }
    assert len(shipped) > 20
    shipped |= {f"distil_theory/report/templates/report{suffix}" for suffix in (".html.j2", ".typ.j2", ".css")}
    shipped |= {f"distil_theory/explorer/page/{path.name}" for path in (ROOT / "distil_theory/explorer/page").iterdir()}
    assert shipped <= set(names)


@pytest.mark.parametrize("target", ["reproduce", "test", "test-browser"])
def test_readme_command_is_a_make_target(target):
    assert f"make {target}" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)

"""Imports point one way, and the core runs without torch."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "distil_theory"
LAYERS = [
    *("number_systems", "batching", "validate", "spec", "aliasing", "solve", "experts", "trajectories"),
    *("divergences", "point", "objectives", "updates", "estimators", "instances"),
    *("online", "success", "algorithms"),
]


def imported(path: Path) -> set[str]:
    """Absolute dotted names of everything the file imports, at any depth; `from a import b` also counts as `a.b`."""
    package = ".".join(path.relative_to(ROOT).with_suffix("").parts[:-1])
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            up = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return names


def files(layer: str) -> list[Path]:
    module = PACKAGE / f"{layer}.py"
    return [module] if module.exists() else sorted((PACKAGE / layer).rglob("*.py"))


def test_the_reader_of_imports_sees_every_form(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    file = tmp_path / "distil_theory" / "x.py"
    file.parent.mkdir()
    file.write_text(
        "import a.b\nfrom . import solve\nfrom .spec import T\ndef f():\n    from distil_theory import updates\n"
    )
    assert {"a.b", "distil_theory.solve", "distil_theory.spec", "distil_theory.updates"} <= imported(file)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_package_imports_nothing_that_stands_on_it(path):
    assert not {name.partition(".")[0] for name in imported(path)} & {"envs", "experiments", "tests", "benchmarks"}


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_import_only_what_comes_before(layer):
    found = files(layer)
    if not found:
        pytest.skip(f"{layer} does not exist yet")
    later = set(LAYERS[LAYERS.index(layer) + 1 :])
    used = {n.split(".")[1] for f in found for n in imported(f) if n.startswith("distil_theory.")}
    assert not used & later


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if files(layer)])
def test_the_core_runs_without_torch(layer):
    code = f"import sys; sys.modules['torch'] = None; import distil_theory.{layer}"
    if layer == "solve":
        code += "; from distil_theory.spec import Bandit; assert distil_theory.solve.optimal(Bandit([1, 2])).v == 2"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def imported_at_once(path: Path) -> set[str]:
    """Absolute names that the file imports when it is imported: not what stands inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        id(x) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for x in ast.walk(f)
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) not in inside and isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif id(node) not in inside and isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_bridge_imports_torch(path):
    if PACKAGE / "llm" in path.parents:
        return
    found = imported_at_once(path)
    assert not {name for name in found if name.partition(".")[0] == "torch" or name.startswith("distil_theory.llm")}


def test_the_reader_of_immediate_imports_passes_over_functions(tmp_path):
    file = tmp_path / "x.py"
    file.write_text(
        "import torch.nn\nif True:\n    from torch import optim\ndef f():\n    import jax\nclass C:\n    import tf\n"
    )
    assert imported_at_once(file) == {"torch.nn", "torch", "torch.optim", "tf"}


def test_the_bridge_says_what_it_needs():
    code = "import sys; sys.modules['torch'] = None; import distil_theory.llm"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "distil_theory.llm needs torch: pip install" in done.stderr.splitlines()[-1]

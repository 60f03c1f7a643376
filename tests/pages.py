"""Pages whose output is made by a script beside them: is it what the script says today?"""

import importlib.util
import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def script(name):
    """The module `docs/<name>.py`, loaded as it is when one runs it."""
    sys.path.insert(0, str(DOCS))
    try:
        spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(DOCS))
    return module


def rounded(text):
    """Measured numbers to two digits: other processors round otherwise."""
    return re.sub(r"[-+]?\d+\.\d+(e[-+]\d+)?", lambda m: f"{float(m[0]):.1e}", text)


def assert_true(made, parts):
    """The page of a script shows these parts, up to rounding."""
    page = made.PAGE.read_text(encoding="utf-8")
    for name, text in parts.items():
        put = made.true_output.put(made.PAGE, page, {name: text})
        assert rounded(put) == rounded(page), f"run python docs/{made.__name__}.py: {name}"

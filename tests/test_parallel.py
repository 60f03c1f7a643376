"""Long work: what is found again belongs to the same code, and the number of processes changes no number."""

import importlib
import sys

import numpy as np
import threadpoolctl

from distil_theory import parallel


def test_the_fingerprint_is_of_the_contents(tmp_path):
    plain = parallel.code_fingerprint()
    assert parallel.code_fingerprint() == plain
    (tmp_path / "a.py").write_text("x = 1")
    first = parallel.code_fingerprint(tmp_path)
    assert first != plain
    (tmp_path / "a.py").write_text("x = 2")
    assert parallel.code_fingerprint(tmp_path) not in (first, plain)
    (tmp_path / "a.py").write_text("x = 1")
    assert parallel.code_fingerprint(tmp_path) == first


def test_a_change_beside_the_function_is_a_change_of_code(tmp_path, monkeypatch):
    source, cache = tmp_path / "source", tmp_path / "cache"
    source.mkdir()
    (source / "own_work.py").write_text(
        "from pathlib import Path\nimport own_helper\n"
        "def work(log, n):\n    with Path(log).open('a') as f: f.write('.')\n    return n * own_helper.factor\n"
    )
    (source / "own_helper.py").write_text("factor = 2")
    monkeypatch.syspath_prepend(str(source))
    log = tmp_path / "log"

    def run():
        for name in ("own_work", "own_helper"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        work = importlib.import_module("own_work").work
        return parallel.run(work, [(str(log), 1), (str(log), 2)], jobs=1, cache=cache)

    assert run() == run() == [2, 4]
    assert log.read_text() == ".."  # the second run found both
    (source / "own_helper.py").write_text("factor = 30")
    assert run() == [30, 60]
    assert log.read_text() == "...."


def threads(_):
    np.ones((4, 4)) @ np.ones((4, 4))
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]


def test_blas_has_one_thread_in_this_process_as_in_the_workers():
    with threadpoolctl.threadpool_limits(2):
        before = threads(0)
        (inside,) = parallel.run(threads, [(0,)], jobs=1)
    assert set(before) == {2}
    assert set(inside) == {1}
    for used in parallel.run(threads, [(0,), (1,)], jobs=2):
        assert set(used) == {1}

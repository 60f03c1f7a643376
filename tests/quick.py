"""An experiment as a user runs it, interrupts it, and doubts it."""

import os
import signal
import subprocess
import sys
import time

import matplotlib.pyplot as plt
import pandas as pd

from experiments import harness


def quick_run(experiment, out):
    """`python -m experiments.<experiment> --quick` into a folder, in one process; what it prints."""
    command = [sys.executable, "-m", f"experiments.{experiment}", "--quick", "--out", str(out), "--jobs", "1"]
    done = subprocess.run(command, cwd=harness.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def killed_and_taken_up(command, jobs, out, pieces):
    """A run into a folder, killed after some pieces of work, and run again, with these numbers of processes: nothing
    that was finished is done twice."""
    first, again = ([*command, "--out", str(out), "--jobs", str(n)] for n in jobs)
    silent = {"cwd": harness.ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = subprocess.Popen(first, start_new_session=True, **silent)
    deadline = time.monotonic() + 600
    while len(list((out / harness.CACHE).rglob("output.pkl"))) < pieces and running.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not list(out.glob("*.csv"))
    kept = {p: p.stat().st_mtime_ns for p in (out / harness.CACHE).rglob("output.pkl")}
    assert len(kept) >= pieces
    subprocess.run(again, check=True, **silent)
    assert {p: p.stat().st_mtime_ns for p in kept} == kept


def assert_nothing_cut_off(heights, tables, slack=0.0):
    """Every drawing, of which the height is given, lies inside its picture, up to so many inches."""
    with plt.rc_context(harness.STYLE):
        for drawing, height in heights.items():
            figure = plt.figure(figsize=(6.75, height))
            drawing(figure, tables)
            box = figure.get_tightbbox()  # inches
            plt.close(figure)
            assert box.x0 >= -slack, drawing
            assert box.y0 >= -slack, drawing
            assert box.x1 <= 6.75 + slack, drawing
            assert box.y1 <= height + slack, drawing


def assert_noticed(violated, tables, name, column, rows, value, words):
    """A wrong value in the given rows of a table is a violation that says these words."""
    table = tables[name].copy()
    place = table.index[rows(table)]
    assert len(place)
    if pd.api.types.is_integer_dtype(table[column]):
        table[column] = table[column].astype(float)
    table.loc[place, column] = value
    assert any(words in said for said in violated(tables | {name: table}))


def assert_empty_tables_noticed(violated, tables):
    """Each table without rows is a violation, and the only one that is told."""
    for name in tables:
        assert violated(tables | {name: tables[name][:0]}) == [f"there is nothing in the table {name}"]

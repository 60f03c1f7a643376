"""The referee report, opened from the disk as a reader does who has no network."""

import subprocess
import sys

from distil_theory.claims import teaching

from .conftest import looks_right


def test_the_report_is_one_file_that_opens_anywhere(page, tmp_path):
    command = [sys.executable, "-m", "distil_theory", "report", "teaching", "--quick", "--jobs", "1"]
    done = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    alone = tmp_path / "alone" / "report.html"
    alone.parent.mkdir()
    (tmp_path / "report.html").rename(alone)
    page.goto(alone.as_uri())
    looks_right(page, "math", "img", teaching.CLAIM.title)

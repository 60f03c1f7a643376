"""What no program can beat: every input byte comes from main memory once, every output byte goes there once.

The bandwidth is the best of three streams over arrays far larger than the cache, each in one numpy call: `read` (the
dot product of an array with itself), `copy`, and `scale`. As in STREAM only the bytes that the program names count;
what the hardware moves besides is its own affair. The best of three, so that the floor is a floor. Data that stays in
the cache between two calls can still be served faster.
"""

from __future__ import annotations

import numpy as np

from benchmarks.settings import Settings
from benchmarks.timing import Row, interleave, measured


def measure(settings: Settings) -> list[Row]:
    """Bandwidth of each stream, in bytes per second."""
    a = np.ones(settings.floor_bytes // 8)
    b = np.zeros_like(a)
    streams = {
        "read": (lambda: np.dot(a, a), a.nbytes),
        "copy": (lambda: np.copyto(b, a), 2 * a.nbytes),
        "scale": (lambda: np.multiply(a, 3.0, out=b), 2 * a.nbytes),
    }
    runs = {name: run for name, (run, _) in streams.items()}
    interleave(runs, 1)  # first touch of the pages
    seconds = interleave(runs, settings.floor_rounds)
    return [
        measured("floor", "bandwidth", name, "bandwidth", size / seconds[name], "B/s")
        for name, (_, size) in streams.items()
    ]


def bandwidth(rows: list[Row]) -> float:
    """The best of the streams, bytes per second."""
    return max(row.value for row in rows if row.metric == "bandwidth")

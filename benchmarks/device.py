"""The batched exact sweep on a graphics card: how many MDPs a second, and how near to what its memory allows?

    python -m benchmarks.device --device cuda --out DIR      # --device cpu rehearses it

Numpy on one core of the processor and torch on the device run the *same* code, `objectives.evaluate`, on the same
random MDPs; they have to agree before the clock starts, and then take turns. The device is waited for at the end of
each run, nothing is copied to or from it in between. Its bandwidth is that of one copy of an array far larger than
its caches, and the floor of an MDP its bytes over that bandwidth, as in `mdps`: `share` is floor over time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import mdps, report
from benchmarks.settings import QUICK, Settings
from benchmarks.timing import Contender, Row, check_agreement, interleave, measured
from distil_theory import TabularMDP, objectives
from distil_theory.divergences import FORWARD_KL
from experiments.harness import console, save_table

RESULTS = Path(__file__).parent / "results"
BATCHES = {10_000: 9, 100_000: 9, 1_000_000: 3}
"""Sizes, and how often each is timed: a minute in all."""
DRAWN = 100_000
"""So many MDPs differ; a larger batch repeats them, since to draw them takes longer than to solve them."""


def waiter(device: str) -> Callable[[], None]:
    """Waits until the device has done what it was told."""
    import torch

    return torch.cuda.synchronize if device.startswith("cuda") else lambda: None


def name_of(device: str) -> str:
    """What the device calls itself."""
    import torch

    return str(torch.cuda.get_device_name(device)) if device.startswith("cuda") else f"torch on {device}"


def contenders(n: int, shape: tuple[int, int, int], device: str) -> dict[str, Contender]:
    """Numpy and torch, on the same `n` MDPs of `shape` `(H, S, A)`."""
    import torch

    horizon, states, actions = shape
    different = min(n, DRAWN)
    arrays = mdps.batch_last(mdps.problems(different, states, actions), horizon)
    if n > different:
        arrays = tuple(np.concatenate([x] * -(-n // different), axis=-1)[..., :n] for x in arrays)
    wait = waiter(device)

    def contender(convert: Callable[[np.ndarray], Any], read: Callable[[Any], np.ndarray]) -> Contender:
        p, r, rho, student, expert = map(convert, arrays)
        mdp = TabularMDP(p, r, rho, horizon=horizon, batch_ndim=1)

        def run() -> Any:
            result = objectives.evaluate(mdp, student, expert, FORWARD_KL)
            wait()
            return result

        return Contender(run, n, lambda result: tuple(map(read, result)))

    return {
        "numpy, one core": contender(lambda x: x, lambda x: x),
        name_of(device): contender(lambda x: torch.from_numpy(x).to(device), lambda x: x.cpu().numpy()),
    }


def bandwidth(device: str, size: int, rounds: int) -> float:
    """Bytes per second of one copy within the device's memory, read and written bytes counted; the best of `rounds`."""
    import torch

    source = torch.ones(size // 8, dtype=torch.float64, device=device)
    target, wait = torch.empty_like(source), waiter(device)

    def copy() -> None:
        target.copy_(source)
        wait()

    copy()
    return 2 * size / float(interleave({"copy": copy}, rounds)["copy"].min())


def measure(device: str, settings: Settings, batches: Mapping[int, int]) -> list[Row]:
    """MDPs per second of both, and the share of the device's memory bandwidth, for each batch."""
    speed = bandwidth(device, settings.floor_bytes, settings.floor_rounds)
    rows = [Row("device", "bandwidth", name_of(device), "bandwidth", speed, "B/s")]
    floor = mdps.bytes_per_mdp(settings.mdp_shape) / speed
    for n, rounds in batches.items():
        both = contenders(n, settings.mdp_shape, device)
        check_agreement({name: c.read(c.run()) for name, c in both.items()}, mdps.QUANTITIES)
        seconds = interleave({name: c.run for name, c in both.items()}, rounds)
        host, card = seconds.values()
        for name, samples in seconds.items():
            rows.append(measured("device", f"{n:,} MDPs", name, "rate", n / samples, "1/s", n))
        rows.append(measured("device", f"{n:,} MDPs", name, "speedup", host / card, "1", n))
        rows.append(measured("device", f"{n:,} MDPs", name, "share", floor * n / card, "1", n))
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table; write `device.csv` and `device.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="where torch computes (default cuda; cpu rehearses)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    parser.add_argument("--out", type=Path, default=RESULTS / "device", help="folder for the results")
    args = parser.parse_args(argv)
    import torch

    if args.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("argument --device: torch sees no cuda device here; --device cpu rehearses")
    settings = QUICK if args.quick else Settings()
    rows = measure(args.device, settings, {50: 2, 100: 2} if args.quick else BATCHES)
    args.out.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    save_table(table, args.out / "device.csv")
    report.save_machine(args.out / "device.json", device=name_of(args.device), torch=torch.__version__)
    console.print(table[["workload", "contender", "metric", "value", "unit"]].to_string(index=False))


if __name__ == "__main__":
    main()

"""Where torch computes: the option of the command line, whether torch can, and what the hardware is called."""

from __future__ import annotations

import argparse
import platform
from pathlib import Path


def option(parser: argparse.ArgumentParser) -> None:
    """`--device`."""
    parser.add_argument("--device", default="cpu", help="where torch computes: cpu or cuda (default cpu)")


def check(device: str) -> str:
    """The device, if torch can use it.

    Raises:
        SystemExit: it cannot.
    """
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as bad:
        raise SystemExit(f"argument --device: torch cannot use {device!r}: {str(bad).splitlines()[0]}") from None
    return device


def name(device: str = "cpu") -> str:
    """What a graphics card, or this processor, calls itself."""
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

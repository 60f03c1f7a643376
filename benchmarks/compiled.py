"""The same five quantities as a closed form for `torch.compile`, one fused program per shape (`--compile`)."""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import Any

import numpy as np

from benchmarks.timing import Contender


def missing() -> str:
    """What `--compile` lacks on this machine; empty if nothing."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    compilers = (os.environ.get("CXX", ""), "g++", "clang++")
    return "" if any(map(shutil.which, compilers)) else "there is no C++ compiler (CXX, g++ or clang++)"


def torch_compiled(arrays: tuple[np.ndarray, ...], horizon: int, divergence: str) -> Contender:
    """`arrays`: transition `(S,A,S',n)`, reward `(S,A,n)`, initial `(S,n)`, policies `(H,S,A,n)`."""
    import torch

    torch.set_num_threads(1)
    score = {"forward_kl": lambda u: u, "reverse_kl": torch.log}[divergence]

    def quantities(p: Any, r: Any, rho: Any, student: Any, expert: Any) -> tuple[Any, ...]:
        v, d = [torch.zeros_like(rho)], [rho]
        q: list[Any] = []
        for h in reversed(range(horizon)):
            q.insert(0, r + (p * v[0]).sum(dim=2))
            v.insert(0, (student[h] * q[0]).sum(dim=1))
        for h in range(horizon - 1):
            flow = d[h][:, None] * student[h]
            d.append((flow[:, :, None] * p).sum(dim=(0, 1)))
        values, actions, occupancy = torch.stack(v[:-1]), torch.stack(q), torch.stack(d)
        flow, scores = occupancy[:, :, None] * student, score(expert / student)
        centred = scores - (student * scores).sum(dim=2, keepdim=True)
        return values, actions, occupancy, flow * (actions - values[:, :, None]), -flow * centred

    tensors = [torch.from_numpy(x) for x in arrays]
    program = torch.compile(quantities, fullgraph=True, dynamic=False)
    return Contender(lambda: program(*tensors), arrays[0].shape[-1], lambda result: tuple(x.numpy() for x in result))

"""Five kinds of numbers behind one small adapter.

A theorem about policies is an identity between sums, products and ratios. Written once in plain
array arithmetic, the *same lines of code* then

========== ============================== ==========================================
name       array                          what it is for
========== ============================== ==========================================
`float64`  numpy, dtype float64           speed: millions of instances
`rational` numpy objects, `flint.fmpq`    exact equality on concrete instances
`ball`     numpy objects, `flint.arb`     rigorous enclosures where logs appear
`symbolic` numpy objects, `sympy.Expr`    identities on generic instances
`torch`    `torch.Tensor`                 autograd as an independent oracle, GPU
========== ============================== ==========================================

`+ - * /`, indexing and `.sum(axis=...)` already work on all five. This module supplies the rest:
`contract`, `einsum`, `stack`, `where`, `log`, `exp`, `sqrt`, `power`, `sign`, `amax`, `iszero`, `isfinite`,
`convert`. Solver modules call nothing of numpy directly.

Rationals stay rational: a logarithm that leaves them raises `TypeError` (except ``log 1 = 0``); convert to `ball`
first. Balls carry the working precision of python-flint; `precision(bits)` sets it. Torch is never
imported here: a tensor can only exist if its owner has imported it already.
"""

from distil_theory.number_systems.functions import (
    amax,
    broadcast_to,
    contract,
    einsum,
    exp,
    greater,
    infinity,
    isfinite,
    isnegative,
    iszero,
    log,
    power,
    scale,
    sign,
    sqrt,
    stack,
    where,
    xlogx,
)
from distil_theory.number_systems.kinds import NAMES, Array, asarray, common, convert, is_torch, name, precision

__all__ = [
    "NAMES",
    "Array",
    "amax",
    "asarray",
    "broadcast_to",
    "common",
    "contract",
    "convert",
    "einsum",
    "exp",
    "greater",
    "infinity",
    "is_torch",
    "isfinite",
    "isnegative",
    "iszero",
    "log",
    "name",
    "power",
    "precision",
    "scale",
    "sign",
    "sqrt",
    "stack",
    "where",
    "xlogx",
]

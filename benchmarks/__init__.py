"""How fast is `distil_theory`, against whom, and how far from what the machine allows? `python -m benchmarks`.

Everything is measured on one thread. The limits below work only if they are set before numpy is imported, so they
stand here, where `python -m benchmarks` passes first.
"""

import os

THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
for variable in THREAD_LIMITS:
    os.environ[variable] = "1"

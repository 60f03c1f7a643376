"""The loss auditor: what does this loss really compute?

`audit(loss)` calls a loss at many logits and finds out from its values and gradients which divergence it descends, in
which direction and at which scale, how it adds up tokens, and what is wrong with it; then it takes the ledger's
instances one natural step *through* that loss (`consequences`).

`probe` calls the loss; `reduce` reads off the weights of its tokens; `meter` undoes them; `laws` says what there is to
find, `identify` which it is, `curve` what it is if it is none; `values`, `sampled`, `masks`, `zones` and `numerics`
look at the rest; `report` tells.
"""

from distil_theory.auditing.audit import audit
from distil_theory.auditing.report import Audit

__all__ = ["Audit", "audit"]

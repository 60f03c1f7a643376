"""Every named loss of the bench."""

from tests.audit_bench.named_correct import CORRECT
from tests.audit_bench.named_faulty import FAULTY
from tests.audit_bench.named_misweighted import MISWEIGHTED
from tests.audit_bench.named_sampled import CASES

NAMED = (*CORRECT, *CASES, *FAULTY, *MISWEIGHTED)

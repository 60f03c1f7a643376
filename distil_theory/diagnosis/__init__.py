"""Rollout diagnosis: can distilling from this teacher hurt on my data?

`diagnose(rollouts)` reads logged rollouts of the student and estimates, for each objective and geometry that the log
*identifies*, how fast a small step changes the reward; for the others it says why the log does not tell.

`sources`, `checked` and `reading` make a `log` of files; `rates` has the estimators, `tails` what unlisted tokens may
add, `bootstrap` the intervals, `trust` when not to believe them, `tally` all of it in one pass; `carriers` and
`observed` look at tokens and weights, `guarantees` at the theorems; `report`, `words` and `figure` tell.
"""

from distil_theory.diagnosis.diagnosing import diagnose
from distil_theory.diagnosis.report import Diagnosis, Rate

__all__ = ["Diagnosis", "Rate", "diagnose"]

"""Rollout diagnosis: can distilling from this teacher hurt on my data?

`diagnose(rollouts)` reads logged rollouts of the student and estimates, for each objective and geometry that the log
*identifies*, how fast a small step changes the reward; for the others it says why the log does not tell.

`log` holds a stretch of a log, `reading` makes it from files, `rates` has the estimators, `bootstrap` their intervals,
`report` tells.
"""

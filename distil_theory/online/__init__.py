"""Online learning of a student from fresh labels: the predictor, and what its regret may be at most (claim 11)."""

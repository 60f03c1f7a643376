r"""Who wins if one may try N times? Likelihood of success and Pass@N (THEORY claim 12)

    python -m experiments.pass_at_n [--quick] [--seed N] [--seeds N] [--out DIR] [--jobs N] [--fresh]

Restricted students answer several prompts: they see all prompts alike (*aliased*), or their logits, prompts times
answers, have rank k. They are trained with exact expectations by forward cross-entropy (DistIL), reverse KL (SDPO),
Jensen-Shannon (OPSD), likelihood RL (`sum w log P`) and plain RL (`sum w P`). The teacher is truthful: fixed, or the
student itself conditioned on success, recomputed at every step; either is trusted up to a stated floor. Five panels,
each from tables `pass_at_n_<name>.csv`:

(a) `curves`, `ends`: Pass@N of the trained students, and of the closed forms of claim 12d.
(b) `training`, `em`: Pass@1, 8, 64 while they learn; EM steps.
(c) `crossing`, `crossing_random`: from which N on the broad student is ahead.
(d) `modes`: how many prompts and right answers survive, against the rank.
(e) `estimators`, `votes`: unbiased estimates and their standard errors; Maj@N, Best@N, Avg@N.
"""

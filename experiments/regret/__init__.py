r"""What distributional DAgger costs while it learns, and when: every bound of claim 11 beside what happens.

    python -m experiments.regret [--quick] [--seed N] [--seeds N] [--out DIR] [--jobs N] [--fresh]

A round is one rollout; costs of a round are exact expectations, and only labels and visits are drawn. Six panels, each
drawn from its own tables `regret_<panel>.csv`:

(a) `cumulative`: KL summed over rounds, mean and single seeds, below the bound B; the label regret of every seed.
(b) `slopes`, `slopes_curves`, `slopes_mean`: how regret grows on random MDPs: the mean like log N, one run like sqrt N.
(c) `chain`, `confidence`: what each inequality between the regret and mu sqrt(N H B / 2) gives away; the bound that
    holds with high probability.
(d) `drift`, `drift_time`: teachers that move: cost against path length, what mirror descent is promised, what no
    learner can avoid, and the student who counts every label for ever.
(e) `horizon`: own states or the expert's: DAgger against cloning as the horizon grows, and the rewards for which
    cloning does as well.
(f) `failures`: mistakes that cannot be recovered from, and a student who cannot see what the expert sees.
"""

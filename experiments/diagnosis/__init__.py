r"""Rollout diagnosis under test: thousands of logs whose truth is known exactly.

    python -m experiments.diagnosis [--quick] [--seed N] [--seeds N] [--out DIR] [--jobs N] [--fresh]

`distil_theory.diagnose` estimates from a log of rollouts how fast a small step of each objective changes the return.
Here the logs come from token games that are solved exactly. The thresholds of its warnings were chosen on one set of
games (`tuned`), and are judged on others (`held-out`). Five panels, from tables `diagnosis_<name>.csv`:

(a) `cells`: how often 95 % intervals hold the truth, in every cell (game, teacher, shape of the log, rate), against the
    number of groups that carry the variance; `thresholds`: what other thresholds would have given.
(b) `cells`: the error of an estimate against the size of the log.
(c) `needed`: how many rollouts it takes until the sign is certain; `cells`: how often it is, against theory.
(d) `cells`: how often the verdict in words has the wrong sign.
(e) `checks`: does the check of the weights notice a log that is not what it seems?
"""

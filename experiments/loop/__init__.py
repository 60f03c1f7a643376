"""The work behind `experiments.algorithms`, `.ablations` and `.covariance`: problems with random students (`worlds`),
whole runs (`runs`), runs with one dial turned (`dials`), single steps (`steps`).

Nothing here draws or judges: work that was done is found again whatever the pictures look like.
"""

"""How large every benchmark is: the real one, and `--quick`, which touches every line in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Settings:
    """Sizes and numbers of rounds; the defaults are the real benchmark.

    The grids of `scaling` give, for each axis, the sizes it takes and what the other axes are held at.
    """

    mdps: int = 10_000
    looped: int = 500
    """How many of the MDPs a library that takes one at a time is run on; times are per MDP."""
    mdp_shape: tuple[int, int, int] = (5, 5, 3)
    """`(H, S, A)`."""
    mdp_rounds: int = 31
    bandits: int = 10_000_000
    actions: int = 4
    bandit_rounds: int = 9
    single_shape: tuple[int, int, int] = (20, 1000, 4)
    single_rounds: int = 31
    scaling_base: dict[str, int] = field(default_factory=lambda: {"H": 5, "S": 5, "A": 3, "B": 10_000})
    scaling_sizes: dict[str, tuple[int, ...]] = field(
        default_factory=lambda: {
            "S": (5, 10, 20, 40, 80),
            "A": (3, 6, 12, 24, 48),
            "H": (5, 10, 20, 40, 80),
            "B": (3_000, 10_000, 30_000, 100_000, 300_000),
        }
    )
    scaling_batch: int = 1_000
    """The batch while another axis grows: at S = 80 the transitions of 10^4 MDPs would fill 1.5 GB."""
    scaling_rounds: int = 7
    estimator_horizons: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    rollouts: int = 4_000
    estimator_rounds: int = 15
    floor_bytes: int = 2**28
    """Size of one array: several times the last-level cache."""
    floor_rounds: int = 15
    import_rounds: int = 7
    figure_rounds: int = 3
    logged: int = 1_000_000
    """Rollouts of a log."""
    log_rounds: int = 1


QUICK = Settings(
    mdps=200,
    looped=40,
    mdp_rounds=3,
    bandits=40_000,
    bandit_rounds=3,
    single_shape=(6, 60, 4),
    single_rounds=3,
    scaling_sizes={"S": (5, 10), "A": (3, 6), "H": (5, 10), "B": (100, 200)},
    scaling_batch=50,
    scaling_rounds=3,
    estimator_horizons=(1, 2, 8),
    rollouts=200,
    estimator_rounds=3,
    floor_bytes=2**22,
    floor_rounds=3,
    import_rounds=1,
    figure_rounds=1,
    logged=2_000,
)

"""The page with a worked example shows what the shipped log says, and what is true of the network that wrote it."""

import numpy as np
import pandas as pd
import pytest
import torch

from distil_theory import diagnose
from experiments.diagnosis.games import Game
from tests import pages


@pytest.fixture(scope="module")
def example():
    torch.set_num_threads(1)
    return pages.script("diagnose_example")


@pytest.fixture(scope="module")
def parts(example):
    return example.parts()


def test_the_page_shows_what_the_script_finds(example, parts):
    pages.assert_true(example, parts[0])


def test_the_shipped_log_is_the_one_of_the_page(example, parts):
    shipped = diagnose(example.LOG)
    page = example.PAGE.read_text(encoding="utf-8")
    for rate in shipped.rates:
        assert f"  {rate.title:<44}" in page
    again = diagnose(parts[1])
    for one, other in zip(shipped.rates, again.rates, strict=True):
        np.testing.assert_allclose([*one.value, one.low, one.high], [*other.value, other.low, other.high], rtol=1e-3)


def test_intervals_hold_the_truth_and_steps_go_where_the_log_said(parts):
    rows = parts[2]
    assert len(rows) == 6
    assert ((rows["low"] <= rows["exact"]) & (rows["exact"] <= rows["high"])).all()
    assert (np.sign(rows["exact"]) == np.sign(rows["estimate"])).all()
    assert (np.sign(rows["change"]) == np.sign(rows["exact"])).all()
    np.testing.assert_allclose(rows["network"], rows["exact"], rtol=0.05)  # wide enough, little damping
    verdict = rows.set_index("objective")["verdict"]
    assert verdict["local reverse KL"] == "lowers"
    assert verdict["full reverse KL"] == "raises"


def test_rollouts_are_rows_of_whole_groups(example):
    game = Game(*_two_tokens())
    table = example.rollouts(game, groups=5, size=3)
    assert table["group"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    for row in table.itertuples():
        full = np.array(row.student_full)
        np.testing.assert_allclose(np.exp(full).sum(axis=1), 1)
        np.testing.assert_allclose(full[np.arange(len(full)), row.tokens], row.student)
    assert isinstance(table, pd.DataFrame)


def _two_tokens():
    from experiments.diagnosis import games

    game = games.random_tree("tree", 2, 2, 2, 1, 1, 1.0)
    return game.name, game.mdp, game.student, game.teacher

"""A short version of the simulation of docs/statistics.md, and the page's tables."""

import json

import numpy as np
import pytest

from tests.campaigns.coverage import page
from tests.campaigns.coverage.beta import grid
from tests.campaigns.coverage.simulation import simulate

# Three standard errors of 1,000 repetitions beyond 93 to 97 and 4 to 6 per cent.
COVERAGE, FALSE_POSITIVES = (0.91, 0.988), (0.021, 0.083)
SMALL = [setting for setting in grid() if len(setting.sizes) < 70 and setting.seeds < 5]


@pytest.mark.parametrize(
    "setting", SMALL, ids=lambda one: f"{one.words}, {one.correlation}, {one.seeds} seeds"
)
def test_intervals_hold_the_truth_and_equal_systems_are_seldom_told_apart(setting):
    found = simulate(setting, repetitions=1000, rng=np.random.default_rng(5))
    assert COVERAGE[0] <= found.coverage <= COVERAGE[1]
    assert FALSE_POSITIVES[0] <= found.false_positives <= FALSE_POSITIVES[1]


def test_the_tables_of_the_page_are_those_of_the_campaign():
    text = page.PAGE.read_text()
    assert page.with_tables(text, json.loads(page.KEPT.read_text())) == text

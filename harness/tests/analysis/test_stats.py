# SPDX-License-Identifier: Apache-2.0
"""Intervals, ratios, percentiles and repetitions against scipy, numpy and known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from stackrig.stats import bootstrap, percentiles, repetitions, student
from stackrig.stats.interval import Interval, from_draws

POSITIVE = st.lists(st.floats(1e-3, 1e12), min_size=2, max_size=20)


@pytest.mark.parametrize("freedom", [1, 2, 2.5, 3, 4, 9, 30, 300])
@pytest.mark.parametrize("p", [0.6, 0.9, 0.975, 0.995, 0.9999, 0.025])
def test_t_quantiles_are_scipys(p: float, freedom: float) -> None:
    assert student.t_quantile(p, freedom) == pytest.approx(scipy_stats.t.ppf(p, freedom), rel=1e-6)


def test_the_t_intervals_are_scipys() -> None:
    left, right = [5.1, 4.9, 5.6, 5.0], [4.1, 4.4, 3.9]
    theirs = scipy_stats.t.interval(0.95, 3, np.mean(left), scipy_stats.sem(left))
    assert student.mean_interval(left, 0.95) == pytest.approx(theirs)
    welch = scipy_stats.ttest_ind(left, right, equal_var=False).confidence_interval(0.95)
    assert student.difference_interval(left, right, 0.95) == pytest.approx((welch.low, welch.high))


# Intervals ----------------------------------------------------------------------------------------------


@given(POSITIVE)
def test_an_interval_holds_its_value(values: list[float]) -> None:
    found = bootstrap.median(values, seed=1)
    assert found.low <= found.value <= found.high
    assert found.value == pytest.approx(np.median(values))


@given(POSITIVE, st.floats(1e-3, 1e3))
def test_a_ratio_does_not_care_for_the_unit(values: list[float], unit: float) -> None:
    other = [3 * value for value in values]
    found = bootstrap.ratio_of_medians(other, values, seed=1)
    scaled = bootstrap.ratio_of_medians([unit * v for v in other], [unit * v for v in values], seed=1)
    assert found.value == pytest.approx(3.0)
    assert (scaled.low, scaled.high) == pytest.approx((found.low, found.high))


def test_one_trial_has_no_interval() -> None:
    found = bootstrap.median([7.0], seed=1)
    assert found.value == 7.0
    assert not found.known
    assert not found.inside(-math.inf, math.inf)
    assert not found.apart(8, 9)


def test_three_trials_say_less_than_their_range() -> None:
    """The range of three trials holds the median three times out of four only."""
    found = bootstrap.median([9.0, 10.0, 11.0], seed=1)
    assert found.low < 9.0 < 11.0 < found.high
    assert "Student" in found.method
    assert bootstrap.median([9.0, 10.0, 11.0] * 4, seed=1).low >= 9.0


@pytest.mark.parametrize("trials", [3, 5, 8, 20])
def test_intervals_hold_the_true_median_as_often_as_they_say(trials: int) -> None:
    random = np.random.default_rng(trials)
    held = 0
    for seed in range(300):
        found = bootstrap.median(random.lognormal(0, 0.2, trials).tolist(), seed=seed)
        held += found.low <= 1.0 <= found.high
    assert held / 300 > 0.90


def test_pairing_takes_out_what_the_machine_did_to_both() -> None:
    """A machine of two states, twice apart, that flip between repetitions."""
    states = [1.0, 2.0, 1.0, 1.0, 2.0, 2.0, 1.0, 2.0]
    fast = [400.0 * state + i for i, state in enumerate(states)]
    slow = [100.0 * state for state in states]
    paired = bootstrap.ratio_of_medians(fast, slow, seed=1, paired=True)
    alone = bootstrap.ratio_of_medians(fast, slow, seed=1)
    assert paired.inside(3.9, 4.2)
    assert alone.low < 2.1
    assert alone.high > 7.5


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(ValueError, match="3 trials cannot be paired with 2"):
        bootstrap.ratio_of_medians([1.0, 2.0, 3.0], [1.0, 2.0], seed=1, paired=True)


def test_a_bound_is_open_to_one_side() -> None:
    found = Interval(2.0, 1.8, 2.2, 5).open_ended(up=True)
    assert found.above(1.5)
    assert not found.inside(1.5, 3.0)
    assert not found.apart(3.0, 4.0)
    assert found.inside(1.5, math.inf)


def test_draws_without_a_number_are_left_out() -> None:
    assert from_draws(1.0, np.array([1.0, np.nan, np.inf]), 5).high == 1.0
    assert not from_draws(1.0, np.array([np.nan]), 5).known


# Percentiles --------------------------------------------------------------------------------------------


def test_a_percentile_needs_ten_samples_beyond_it() -> None:
    assert percentiles.samples_needed(0.5) == 20
    assert percentiles.samples_needed(0.999) == 10_000
    with pytest.raises(ValueError, match="between 0 and 1"):
        percentiles.samples_needed(1.0)


# Repetitions --------------------------------------------------------------------------------------------


def test_a_small_effect_in_much_noise_needs_many_repetitions() -> None:
    assert repetitions.for_effect(1.0, spread=0.05) == 3
    assert repetitions.for_effect(0.05, spread=0.10) > 50
    assert repetitions.for_effect(0.05, spread=0.0) == 2
    with pytest.raises(ValueError, match="effect"):
        repetitions.for_effect(0.0, spread=0.1)


def test_the_stated_repetitions_show_the_effect_as_often_as_promised() -> None:
    n = repetitions.for_effect(0.2, spread=0.15)
    random = np.random.default_rng(1)
    shown = 0
    for _ in range(400):
        left, right = random.normal(math.log(1.2), 0.15, n), random.normal(0, 0.15, n)
        shown += student.difference_interval(left.tolist(), right.tolist(), 0.95)[0] > 0
    assert 0.75 < shown / 400 < 0.95


def test_the_interval_after_so_many_repetitions_leaves_the_border() -> None:
    now = Interval(2.2, 1.7, 2.9, 5)
    needed = repetitions.to_settle(now, 2.0)
    assert needed is not None
    assert 10 < needed < 60
    assert repetitions.to_settle(now, 1.5) == 5
    assert repetitions.to_settle(Interval(2.0, 1.7, 2.4, 5), 2.0) is None
    assert repetitions.to_settle(Interval(2.0, math.nan, math.nan, 1), 1.0) is None


def test_the_spread_is_that_within_points_not_between_them() -> None:
    alike = [[100.0, 110.0, 90.0], [1000.0, 1100.0, 900.0]]
    found = repetitions.spread(alike)
    assert found == pytest.approx(repetitions.spread(alike[:1]))
    assert repetitions.spread([[1.0], [2.0]]) is None

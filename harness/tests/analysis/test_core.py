# SPDX-License-Identifier: Apache-2.0
"""stackrig._core against numpy, scipy and answers known beforehand."""

from __future__ import annotations

import itertools
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stackrig import _core

VALUES = st.lists(st.floats(-1e9, 1e9, allow_nan=False), min_size=1, max_size=40)


# The bootstrap ------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_draws_and_another_seed_others() -> None:
    rows = np.arange(12.0).reshape(2, 6)
    first = _core.bootstrap_medians(rows, paired=False, seed=7, draws=200)
    assert np.array_equal(first, _core.bootstrap_medians(rows, paired=False, seed=7, draws=200))
    assert not np.array_equal(first, _core.bootstrap_medians(rows, paired=False, seed=8, draws=200))


def xoshiro(seed: int) -> Iterator[int]:
    """xoshiro256** seeded by splitmix64, as its authors publish it: the numbers that C++ must draw."""
    mask, state = (1 << 64) - 1, []
    for _ in range(4):
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = ((seed ^ seed >> 30) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
        state.append(z ^ z >> 31)
    while True:
        x = state[1] * 5 & mask
        yield ((x << 7 | x >> 57) & mask) * 9 & mask
        t = state[1] << 17 & mask
        state[2] ^= state[0]
        state[3] ^= state[1]
        state[1] ^= state[2]
        state[0] ^= state[3]
        state[2] ^= t
        state[3] = (state[3] << 45 | state[3] >> 19) & mask


def test_the_draws_of_a_seed_are_the_same_on_every_machine() -> None:
    values = [10.0, 20.0, 30.0, 40.0, 50.0]
    numbers = xoshiro(1)
    expected = [np.median([values[(next(numbers) >> 32) * 5 >> 32] for _ in values]) for _ in range(100)]
    for paired in (False, True):
        assert _core.bootstrap_medians([values], paired, seed=1, draws=100).tolist() == [expected]


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("values", [[1.0, 2.0, 4.0], [1.0, 2.0, 4.0, 8.0]])
def test_medians_come_as_often_as_counting_all_samples_says(values: list[float], paired: bool) -> None:
    draws = 200_000
    samples = itertools.product(values, repeat=len(values))
    exact = Counter(float(np.median(sample)) for sample in samples)
    found = Counter(_core.bootstrap_medians([values], paired=paired, seed=3, draws=draws)[0].tolist())
    assert set(found) == set(exact)
    for median, ways in exact.items():
        share = ways / len(values) ** len(values)
        assert found[median] / draws == pytest.approx(share, abs=4 * (share * (1 - share) / draws) ** 0.5)


def test_paired_rows_see_the_same_repetitions() -> None:
    slow = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    draws = _core.bootstrap_medians([slow, 10 * slow], paired=True, seed=5, draws=1000)
    assert np.allclose(draws[1] / draws[0], 10.0)
    alone = _core.bootstrap_medians([slow, 10 * slow], paired=False, seed=5, draws=1000)
    assert np.std(alone[1] / alone[0]) > 1.0


def test_a_trial_that_is_not_there_is_never_drawn() -> None:
    rows = [[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]]
    draws = _core.bootstrap_medians(rows, paired=False, seed=1, draws=500)
    assert set(draws[0]) == {1.0, 2.0, 3.0}
    assert np.isnan(draws[1]).all()


@given(VALUES)
def test_every_draw_lies_between_least_and_greatest(values: list[float]) -> None:
    draws = _core.bootstrap_medians([values], paired=True, seed=1, draws=50)
    assert draws.min() >= min(values)
    assert draws.max() <= max(values)


def test_the_interval_agrees_with_scipys() -> None:
    values = np.random.default_rng(4).lognormal(3.0, 0.4, 60)
    mine = np.quantile(
        _core.bootstrap_medians([values], paired=False, seed=2, draws=20_000)[0], [0.025, 0.975]
    )
    theirs = stats.bootstrap((values,), np.median, n_resamples=20_000, method="percentile", rng=9)
    assert mine == pytest.approx(list(theirs.confidence_interval), rel=0.01)


def test_values_must_be_a_matrix() -> None:
    with pytest.raises(ValueError, match="rows"):
        _core.bootstrap_medians([1.0, 2.0], paired=True, seed=1)


# Histograms ---------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 1 << 39), min_size=1, max_size=300), st.floats(0, 1))
def test_a_quantile_is_within_a_bucket_of_the_sorted_values(values: list[int], q: float) -> None:
    histogram = _core.Histogram()
    for value in values:
        histogram.record(value)
    exact = int(np.quantile(values, q, method="inverted_cdf"))
    assert exact <= histogram.quantile(q) <= exact * (1 + 1 / 64)
    assert (histogram.min, histogram.max, histogram.count) == (min(values), max(values), len(values))
    assert histogram.mean == pytest.approx(np.mean(values))


@given(st.lists(st.integers(0, 1 << 41)), st.lists(st.integers(0, 1 << 41)))
def test_merging_is_counting_all_in_one(left: list[int], right: list[int]) -> None:
    parts = [_core.Histogram(), _core.Histogram(), _core.Histogram()]
    for value in left:
        parts[0].record(value)
    for value in right:
        parts[1].record(value)
    for value in left + right:
        parts[2].record(value)
    parts[0].merge(parts[1])
    assert parts[0].buckets() == parts[2].buckets()
    assert (parts[0].min, parts[0].max, parts[0].sum) == (parts[2].min, parts[2].max, parts[2].sum)


@given(st.lists(st.integers(0, 1 << 39), max_size=50))
def test_buckets_survive_a_record(values: list[int]) -> None:
    histogram = _core.Histogram()
    for value in values:
        histogram.record(value)
    again = _core.Histogram.from_buckets(histogram.buckets())
    assert again.buckets() == histogram.buckets()
    assert again.count == len(values)


def test_a_number_that_starts_no_bucket_is_refused() -> None:
    assert _core.Histogram.from_buckets([[128, 1]]).quantile(1.0) == 129
    with pytest.raises(ValueError, match=r"129 is no lower bound .* nearest is 128"):
        _core.Histogram.from_buckets([[129, 1]])


def test_nothing_has_no_mean() -> None:
    assert np.isnan(_core.Histogram().mean)
    assert _core.Histogram().quantile(0.5) == 0


# Telemetry pages ----------------------------------------------------------------------------------------

HEADER = struct.Struct("<8sIIQQQ")
ENTRY = struct.Struct("<64s24sIIQQ")
BUCKETS = (40 - 6 + 1) << 6


def page(path: Path, entries: list[tuple[str, str, int, bytes]], magic: bytes = b"SRIGTEL1") -> Path:
    start = HEADER.size + ENTRY.size * len(entries)
    table, data = b"", b""
    for name, unit, kind, content in entries:
        table += ENTRY.pack(name.encode(), unit.encode(), kind, 0, start + len(data), len(content))
        data += content + b"\0" * (-len(content) % 8)
    header = HEADER.pack(magic, len(entries), start, start + len(data), 4321, 1)
    path.write_bytes(header + table + data)
    return path


def histogram_bytes(*values: int) -> bytes:
    buckets = [0] * BUCKETS
    for value in values:
        buckets[value] += 1
    return struct.pack(f"<4Q{BUCKETS}Q", len(values), sum(values), min(values), max(values), *buckets)


def test_a_page_is_read_whole(tmp_path: Path) -> None:
    path = page(
        tmp_path / "telemetry",
        [
            ("q0.tcp.segs_in", "segments", 1, struct.pack("<Q", 12)),
            ("q0.depth", "packets", 2, struct.pack("<Q", 3)),
            ("q0.latency", "ns", 3, histogram_bytes(5, 5, 60)),
            ("system", "", 4, b"sandstorm\0\0\0"),
        ],
    )
    read = _core.read_page(str(path))
    assert (read.pid, read.finished) == (4321, True)
    assert read.values == {"q0.tcp.segs_in": 12, "q0.depth": 3}
    assert read.units["q0.latency"] == "ns"
    assert read.texts == {"system": "sandstorm"}
    assert read.histograms["q0.latency"].buckets() == [(5, 2), (60, 1)]


def test_a_page_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="gone"):
        _core.read_page(str(tmp_path / "gone"))


def test_another_file_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="SRIGTEL1"):
        _core.read_page(str(page(tmp_path / "x", [], magic=b"SRIGTEL9")))


@pytest.mark.parametrize("keep", [0, 10, HEADER.size, HEADER.size + ENTRY.size - 1, HEADER.size + ENTRY.size])
def test_a_page_cut_short_is_refused(tmp_path: Path, keep: int) -> None:
    path = page(tmp_path / "x", [("a", "b", 1, struct.pack("<Q", 1))])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="x: "):
        _core.read_page(str(path))


@pytest.mark.parametrize(("kind", "content"), [(3, b"\0" * 64), (1, b"\0" * 4), (9, b"\0" * 8)])
def test_an_entry_that_this_reader_cannot_know_is_named(tmp_path: Path, kind: int, content: bytes) -> None:
    path = page(tmp_path / "x", [("odd", "", kind, content)])
    with pytest.raises(ValueError, match="entry 'odd'"):
        _core.read_page(str(path))

# SPDX-License-Identifier: Apache-2.0
"""Plans: the grid, the shuffled order, systems that alternate, filters."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackrig import plan, registry
from stackrig.errors import UserError
from stackrig.model.base import format_size, parse_scalar
from stackrig.model.experiment import Profile
from stackrig.model.trial import Point
from stackrig.trial import rerun_command
from tests.analysis import made_up


def make(seed: int = 1, profile: str = "local", points: tuple[str, ...] = ()) -> plan.Plan:
    return plan.make(registry.load_artifact("figure-3.6"), profile, seed, points)


def point(label: str, cell: int) -> Point:
    return Point(
        system=label, variant="v", label=label, workload="w", load="l", wire="kernel", settings={"cell": cell}
    )


def test_every_point_comes_once_in_each_repetition() -> None:
    whole = make()
    seen = Counter((t.repetition, t.point.label, str(t.point.settings)) for t in whole.trials)
    assert set(seen.values()) == {1}
    assert len(whole.trials) % whole.repetitions == 0
    assert [t.order for t in whole.trials] == list(range(len(whole.trials)))


@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 8), st.integers(1, 4))
def test_systems_alternate_and_repetitions_follow_each_other(
    seed: int, repetitions: int, cells: int, systems: int
) -> None:
    rows = [[(c, point(f"s{s}", c)) for s in range(systems)] for c in range(cells)]
    trials = plan.order(rows, repetitions, seed, Profile())
    assert [t.repetition for t in trials] == sorted(t.repetition for t in trials)
    runs = [
        list(group) for _, group in groupby(trials, key=lambda t: (t.repetition, t.point.settings["cell"]))
    ]
    for run in runs:  # all systems of a cell stand together, each once, and are asked the same
        assert sorted(t.point.label for t in run) == sorted(f"s{s}" for s in range(systems))
        assert len({t.seed for t in run}) == 1
    assert len(runs) == repetitions * cells


def test_the_seed_decides_the_order_alone() -> None:
    names = [[t.slug for t in make(seed).trials] for seed in (1, 1, 2)]
    assert names[0] == names[1]
    assert names[0] != names[2]
    assert sorted(names[0]) == sorted(names[2])


def test_no_system_is_always_first_in_its_cell() -> None:
    first: Counter[str] = Counter()
    for _, group in groupby(make().trials, key=lambda t: t.seed):
        first[next(group).point.label] += 1
    assert len(first) == 3


def test_a_point_filter_takes_sizes_and_systems_as_people_write_them() -> None:
    whole = make(points=("file_size=16KiB,nics=1", "system=sandstorm/precopy"))
    assert {
        (t.point.label, t.point.settings["nics"], t.point.settings["file_size"]) for t in whole.trials
    } == {("sandstorm/precopy", 1, 16384)}


def test_a_filter_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(UserError, match="did you mean 16KiB"):
        make(points=("file_size=17KiB",))


def test_workload_parameters_and_variants_reach_the_point() -> None:
    settings = {t.point.label: t.point.settings for t in make().trials}
    assert settings["nginx"]["mode"] == "close"
    assert settings["nginx"]["connections"] == 64


def name_service(profile: str) -> set[tuple[str, int, int, int, str, int]]:
    """Of figure 3.8's points: system, zone, batch, cores, wire, queues."""
    whole = plan.make(registry.load_artifact("figure-3.8"), profile, seed=1)
    found = set()
    for point in (trial.point for trial in whole.trials):
        axes = {name: int(value) for name, value in point.settings.items() if isinstance(value, int)}
        queues = axes.get("queues", 1)
        found.add(
            (point.label, axes["zone_entries"], axes["batch"], axes["server_cores"], point.wire, queues)
        )
    return found


def test_parts_of_a_grid_have_points_of_their_own() -> None:
    """Section 3.3.4.1 measures batches with one instance and one queue, whatever zones are measured with."""
    points = name_service("paper")
    by_batch = {point for point in points if point[2] != 32}
    assert {point[3] for point in by_batch} == {1}
    assert {point[5] for point in by_batch} == {1}
    assert {point[4] for point in by_batch} == {"afxdp", "shm"}
    assert {point[0] for point in by_batch} == {"namestorm/wire-memcpy"}
    assert {point[5] for point in points if point[3] == 4} == {4}
    assert {point[3] for point in points if point[1] == 10_000} == {4}
    assert ("nsd", 1, 32, 1, "afxdp", 1) in points, "on one core as well, to compare unbatched answers with"


def test_a_point_that_several_parts_ask_for_is_there_once() -> None:
    whole = plan.make(registry.load_artifact("figure-3.8"), "local", seed=1)
    seen = Counter((t.repetition, t.point.label, str(t.point.settings)) for t in whole.trials)
    assert set(seen.values()) == {1}
    assert len({t.point.settings["zone_entries"] for t in whole.trials}) == 3


def test_the_wire_as_an_axis_can_be_filtered_by() -> None:
    whole = plan.make(registry.load_artifact("figure-3.8"), "local", 1, ("wire=shm",))
    assert {(t.point.wire, t.point.server_wire) for t in whole.trials} == {("shm", "shm")}


def test_an_axis_nobody_knows_is_an_error(project: object, artifact: Callable[..., None]) -> None:
    artifact()
    broken = registry.load_artifact("tiny")
    assert broken.experiment is not None
    experiment = broken.experiment.model_copy(update={"fixed": {"conections": 4}})
    with pytest.raises(UserError, match=r"unknown axis or setting 'conections'; did you mean connections"):
        plan.make(broken.model_copy(update={"experiment": experiment}), "smoke", 1)


def test_frames_longer_than_the_mtu_need_a_kernel_client() -> None:
    known = registry.load_artifact("figure-3.6")
    assert known.experiment is not None
    experiment = known.experiment.model_copy(update={"systems": ["nginx/offloads"]})
    with pytest.raises(UserError, match="only kernel clients take"):
        plan.make(known.model_copy(update={"experiment": experiment}), "smoke", 1)


def test_the_soft_nic_has_no_kernel_server() -> None:
    known = registry.load_artifact("figure-3.6")
    assert known.experiment is not None
    experiment = known.experiment.model_copy(update={"wire": "shm"})
    with pytest.raises(UserError, match="soft NIC"):
        plan.make(known.model_copy(update={"experiment": experiment}), "smoke", 1)


@given(st.integers(1, 1 << 40))
def test_sizes_are_spelled_exactly(size: int) -> None:
    assert parse_scalar(format_size(size)) == size


@pytest.mark.parametrize("name", sorted(registry.artifacts()))
def test_every_artifact_plans_in_every_profile(name: str) -> None:
    artifact = registry.load_artifact(name)
    for profile in artifact.experiment.profiles if artifact.experiment else ():
        assert plan.make(artifact, profile, 1).trials


def test_a_size_that_may_be_two_is_refused(cli: Callable[..., Any]) -> None:
    """16KB is 16,000 bytes to some and 16KiB to others, and it stands beside 16KiB in every figure."""
    with pytest.raises(ValueError, match="write 16KiB, or the bytes"):
        parse_scalar("16KB")
    done = cli("plan", "figure-3.6", "--point", "file_size=16KB")
    assert (done.returncode, "may mean 1000 or 1024" in done.stderr) == (2, True)


def test_power_goes_by_the_trials_there_are(tmp_path: Path, cli: Callable[..., Any]) -> None:
    none = cli("plan", "figure-3.5", "--power", "5%")
    assert (none.returncode, "no run of figure-3.5 yet" in none.stderr) == (2, True)
    truth = {"goodput": 1e9, "server_cpu_percent": 90.0, "requests_rate": 1e4}
    data = made_up.make(registry.load_artifact("figure-3.5"), lambda system, axes: truth, noise=0.05)
    made_up.write(data, tmp_path / "results")
    told = json.loads(cli("plan", "figure-3.5", "--power", "5%", "--json").stdout)["metrics"]["goodput"]
    assert 0.03 < told["spread"] < 0.08
    assert 10 < told["repetitions"] < 50
    assert cli("plan", "figure-3.5", "--power", "0").returncode == 2


def test_a_run_of_several_ends_before_the_next_begins() -> None:
    rows = [[(c, point("s", c))] for c in range(6)]
    rows = [
        [(c, p.model_copy(update={"settings": {**p.settings, "run": 1 + c % 2}})) for c, p in row]
        for row in rows
    ]
    trials = plan.order(rows, 3, 7, Profile())
    runs = [t.point.settings["run"] for t in trials]
    assert runs == [1] * 9 + [2] * 9
    assert [t.repetition for t in trials] == [0, 0, 0, 1, 1, 1, 2, 2, 2] * 2
    assert [t.order for t in trials] == list(range(18))


def test_a_trial_of_a_stream_is_run_again_at_its_own_point() -> None:
    whole = plan.make(registry.load_artifact("slick-table-3.3"), "local", 1, ("payload=64B", "run=2"))
    assert {(t.point.settings["payload"], t.point.settings["run"]) for t in whole.trials} == {(64, 2)}
    again = rerun_command(whole, whole.trials[0])
    assert "payload=64B" in again and "run=2" in again


@pytest.mark.parametrize("name", ["slick-table-3.2", "echo-stacks", "offloads", "figure-3.8"])
def test_the_command_that_runs_a_trial_again_plans_its_point_alone(name: str) -> None:
    """By the grid's own axes, all of them and no others: a setting that is fixed is none."""
    whole = plan.make(registry.load_artifact(name), "local", 1)
    for planned in (whole.trials[0], whole.trials[-1]):
        words = rerun_command(whole, planned).split()
        wanted = words[words.index("--point") + 1]
        again = plan.make(registry.load_artifact(name), "local", 1, (wanted,), 1)
        assert {t.point.model_dump_json() for t in again.trials} == {planned.point.model_dump_json()}

# SPDX-License-Identifier: Apache-2.0
"""Performance bars: what is said of them, and a real one against the soft NIC where the programs are built."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackrig import names, registry, validity
from stackrig.bench import base, compare, grid, trials
from stackrig.bench.base import Measured, Outcome
from stackrig.drivers.base import LoadResult
from stackrig.errors import RunError, UserError
from stackrig.model.bar import Bar
from stackrig.model.trial import Check, Metric, Point, Trial, Validity
from stackrig.plan import Plan, Planned
from stackrig.server import ServerError
from stackrig.session import require_programs
from stackrig.trial import rerun_command


def bar(**changes: Any) -> Bar:
    fields = {
        "schema": 1,
        "name": "b",
        "title": "B",
        "method": "compare",
        "bar": 2.5,
        "points": [{"file_size": "64B"}],
    }
    return Bar.model_validate({**fields, **changes})


def outcome(value: float) -> Outcome:
    return Outcome("file_size=64B", value, value - 0.1, value + 0.1, [value], [1.0], "1/s")


def test_what_scripts_read_has_the_words_that_were_promised() -> None:
    told = base.as_json(bar(), Measured([outcome(3.0)], "nginx", 7))
    assert {"name", "value", "low", "high", "unit", "peer", "bar", "holds", "trials"} <= set(told)
    assert (told["value"], told["peer"], told["bar"], told["holds"], told["trials"]) == (
        3.0,
        "nginx",
        2.5,
        True,
        7,
    )


def test_the_worst_point_decides() -> None:
    two = bar(points=[{"file_size": "64B"}, {"file_size": "8KiB"}])
    assert base.as_json(two, Measured([outcome(3.0), outcome(2.0)], "nginx", 7))["holds"] is False
    lower = bar(better="lower", bar=0.4, points=two.model_dump()["points"])
    assert base.as_json(lower, Measured([outcome(0.3), outcome(0.5)], "nginx", 7))["value"] == 0.5


def test_a_point_that_was_not_measured_does_not_hold() -> None:
    two = bar(points=[{"file_size": "64B"}, {"file_size": "8KiB"}])
    assert base.as_json(two, Measured([outcome(3.0)], "nginx", 7))["holds"] is False
    assert base.as_json(bar(), Measured([], "nginx", 0))["holds"] is False


CHECKS = ("client_saturated", "offered_met", "counters_agree", "wire_limit", "placement", "undisturbed")


def record(
    point: Point, value: float, busy: float = 0.5, repetition: int = 0, failed: str = "", status: str = "ok"
) -> Trial:
    """A trial of a bar. `failed`: a validity check that it did not pass."""
    metrics = {
        "requests_rate": Metric(value=value, unit="1/s", how=""),
        "client_busy": Metric(value=busy, unit="ratio", how=""),
    }
    checks = {name: Check(value=True, evidence="as it should") for name in CHECKS}
    checks["client_saturated"] = validity.client_saturated(metrics, LoadResult(1, None, None, 1.0, {}))
    if failed:
        checks[failed] = Check(value=False, evidence="seen")
    return Trial.model_validate(
        {"id": "x", "run": "r", "artifact": "a", "status": status, "point": point, "repetition": repetition,
         "seed": 1, "order": 0, "profile": "bench", "started": "", "ended": "", "metrics": metrics,
         "validity": Validity(**checks)}
    )  # fmt: skip


Made = Callable[[Point, Point], list[Trial]]


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Callable[[Made], Measured]:
    """A bar's method `compare` over made-up trials of candidate and peer."""

    class Folder:
        path = Path("/nowhere")

    def go(made: Made) -> Measured:
        def run(bar: Bar, rows: list[list[Point]], *_: Any) -> tuple[list[Trial], Folder]:
            return made(*rows[0]), Folder()

        monkeypatch.setattr(trials, "run", run)
        return compare.measure(bar(peer="nginx"), None, lambda text: None)  # type: ignore[arg-type]

    return go


def test_a_peer_whose_client_is_saturated_is_no_peer(compared: Callable[[Made], Measured]) -> None:
    measured = compared(lambda ours, theirs: [record(ours, 1000), record(theirs, 1000, busy=0.93)])
    assert measured.outcomes == []
    assert measured.failures == ["file_size=64B: nginx's client was saturated"]


def test_a_peer_without_time_left_is_the_limit_however_busy_its_client_is(
    compared: Callable[[Made], Measured],
) -> None:
    def made(ours: Point, theirs: Point) -> list[Trial]:
        trial = record(theirs, 500, busy=0.97)
        trial.metrics["server_busy_percent"] = Metric(value=99.2, unit="%", how="")
        return [record(ours, 1000), trial]

    assert compared(made).outcomes[0].value == 2


def swept(
    monkeypatch: pytest.MonkeyPatch, ours: list[float], theirs: list[float], failed: str = ""
) -> tuple[Measured, list[list[list[int]]]]:
    """A bar with each side at its best of 1, 2, 4, 8 connections, with these rates: what came of it, and the
    connections of the rows of each run of trials."""
    told = bar(peer="nginx", options={"each_at_its_best": {"connections": [1, 2, 4, 8]}})
    rates = {"sandstorm/precopy": dict(zip([1, 2, 4, 8], ours, strict=True)),
             "nginx": dict(zip([1, 2, 4, 8], theirs, strict=True))}  # fmt: skip
    runs: list[list[list[int]]] = []

    class Folder:
        path = Path("/nowhere")

    def run(bar: Bar, rows: list[list[Point]], *_: Any) -> tuple[list[Trial], Folder]:
        runs.append([[int(point.settings["connections"]) for point in row] for row in rows])
        points = [point for row in rows for point in row]
        return [
            record(one, rates[one.label][int(one.settings["connections"])], failed=failed) for one in points
        ], Folder()

    monkeypatch.setattr(trials, "run", run)
    return compare.measure(told, None, lambda text: None), runs  # type: ignore[arg-type]


def test_each_side_counts_with_what_suits_it_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found in trials of their own; what is judged is measured anew, side by side."""
    measured, runs = swept(monkeypatch, [10, 40, 30, 5], [2, 5, 20, 1])
    assert measured.outcomes[0].value == pytest.approx(40 / 20)
    assert {"sandstorm/precopy at connections 2", "nginx at connections 4"} <= set(measured.outcomes[0].notes)
    assert runs == [[[1, 1], [2, 2], [4, 4], [8, 8]], [[2, 4]]]


def test_a_best_at_the_end_of_the_values_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    measured, runs = swept(monkeypatch, [10, 40, 30, 5], [2, 5, 20, 40])
    assert measured.outcomes == []
    assert "nginx: its best (40) is at the end of the values" in measured.failures[0]
    assert len(runs) == 1
    flat, _ = swept(monkeypatch, [10, 40, 30, 5], [2, 5, 20, 20.5])  # as good as the one before: a plateau
    assert flat.outcomes[0].value == pytest.approx(40 / 20.5)


def test_a_candidates_best_at_the_upper_end_is_a_lower_bound_that_decides_what_it_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured, runs = swept(monkeypatch, [10, 20, 30, 60], [2, 5, 20, 1])
    (found,) = measured.outcomes
    assert found.value == pytest.approx(3)
    assert found.bound == "at least"
    assert any("sandstorm/precopy: its best (60) is at the end" in note for note in found.notes)
    assert base.as_json(bar(), measured)["holds"] is True
    assert base.as_json(bar(), measured)["points"][0]["bound"] == "at least"
    assert runs[1] == [[8, 4]]
    measured, _ = swept(monkeypatch, [10, 20, 30, 40], [2, 5, 20, 1])  # below the bar of 2.5: not known
    assert measured.outcomes == []
    assert "at least 2: sandstorm/precopy's best is at the end of the values" in measured.failures[0]
    assert base.as_json(bar(), measured)["holds"] is False


def test_a_candidates_best_at_the_lower_end_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    measured, _ = swept(monkeypatch, [90, 40, 30, 5], [2, 5, 20, 1])
    assert measured.outcomes == []
    assert "sandstorm/precopy: its best (90) is at the end of the values" in measured.failures[0]


def test_trials_of_the_search_that_fail_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told = bar(peer="nginx", options={"each_at_its_best": {"connections": [1, 2, 4]}})
    rates = {1: 10.0, 2: 40.0, 4: 30.0}

    class Folder:
        path = Path("/nowhere")

    def run(bar: Bar, rows: list[list[Point]], *rest: Any) -> tuple[list[Trial], Folder]:
        searching = len(rest) == 3
        points = [point for row in rows for point in row]
        found = [record(one, rates[int(one.settings["connections"])]) for one in points]
        if searching:
            found.append(record(points[0], 0, status="failed").model_copy(update={"reason": "it died"}))
        return found, Folder()

    monkeypatch.setattr(trials, "run", run)
    measured = compare.measure(told, None, lambda text: None)  # type: ignore[arg-type]
    assert len(measured.outcomes) == 1
    assert measured.failures == ["x: it died; again: "]


def test_where_more_is_offered_than_served_the_offer_need_not_be_met(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured, _ = swept(monkeypatch, [10, 40, 30, 5], [2, 5, 20, 1], failed="offered_met")
    assert measured.failures == [] and len(measured.outcomes) == 1
    measured, _ = swept(monkeypatch, [10, 40, 30, 5], [2, 5, 20, 1], failed="counters_agree")
    assert measured.outcomes == []


def test_a_ratio_is_taken_within_a_repetition(compared: Callable[[Made], Measured]) -> None:
    """The machine slows down to a tenth: every repetition says 3, and so does the interval."""
    speeds = [100.0, 80.0, 60.0, 40.0, 30.0, 20.0, 10.0]

    def made(ours: Point, theirs: Point) -> list[Trial]:
        return [
            record(point, factor * speed, repetition=repetition)
            for repetition, speed in enumerate(speeds)
            for point, factor in ((ours, 3), (theirs, 1))
        ]

    (found,) = compared(made).outcomes
    assert (found.value, found.low, found.high) == pytest.approx((3, 3, 3))


def test_a_trial_whose_other_side_was_lost_is_left_out_and_told(
    compared: Callable[[Made], Measured],
) -> None:
    def made(ours: Point, theirs: Point) -> list[Trial]:
        return [
            record(ours, 1000, repetition=0), record(theirs, 500, repetition=0, status="failed"),
            record(ours, 30, repetition=1), record(theirs, 10, repetition=1),
        ]  # fmt: skip

    measured = compared(made)
    assert (measured.outcomes[0].value, measured.trials) == (3, 1)
    assert any("1 trials without a valid one beside them" in note for note in measured.outcomes[0].notes)


def test_no_bar_rests_on_trials_in_which_one_side_paid_for_the_other(
    compared: Callable[[Made], Measured],
) -> None:
    measured = compared(
        lambda ours, theirs: [record(ours, 30, failed="placement"), record(theirs, 10, failed="placement")]
    )
    assert measured.outcomes == []
    assert measured.failures == [
        "file_size=64B: in 2 of 2 trials one side did not pay for its own packets: seen"
    ]


def test_how_many_trials_were_undisturbed_is_told(compared: Callable[[Made], Measured]) -> None:
    measured = compared(lambda ours, theirs: [record(ours, 30), record(theirs, 10, failed="undisturbed")])
    assert "1 of 2 trials undisturbed by other processes" in measured.outcomes[0].notes


def test_an_interval_that_holds_the_bar_is_told() -> None:
    assert base.as_json(bar(), Measured([outcome(2.55)], "nginx", 7))["straddles"] is True
    assert base.as_json(bar(), Measured([outcome(3.0)], "nginx", 7))["straddles"] is False


def test_what_scripts_read_is_json_also_where_there_is_no_interval() -> None:
    nan = float("nan")
    one = Outcome("file_size=64B", 3.0, nan, nan, [3.0], [1.0], "1/s")
    told = json.loads(json.dumps(base.as_json(bar(), Measured([one], "nginx", 1)), allow_nan=False))
    assert (told["low"], told["points"][0]["high"]) == (None, None)


def test_a_trial_of_a_methods_own_that_fails_is_told_and_the_next_is_made() -> None:
    class Session:
        renewed = 0

        def hosts_answer(self) -> bool:
            return False

        def renew(self) -> None:
            self.renewed += 1

    session, measured, said = Session(), Measured([], None, 0), list[str]()

    def fails() -> float:
        raise ServerError("sandstorm died with exit code 11", "its log")

    assert base.attempt("trial 1", session, measured, said.append, fails) is None  # type: ignore[arg-type]
    assert base.attempt("trial 2", session, measured, said.append, lambda: 1.0) == 1.0  # type: ignore[arg-type]
    assert measured.failures == ["trial 1: sandstorm died with exit code 11"]
    assert session.renewed == 1


def test_the_copy_is_scheduled_and_accounted_for_as_the_server_is(root_needed: Path) -> None:
    from stackrig.bench import memcpy
    from stackrig.session import Session

    with Session() as session:
        asked: dict[str, Any] = {}
        call = session.testbed.server.host.call

        def watched(op: str, **arguments: Any) -> Any:
            if op == "spawn":
                asked.update(arguments)
            return call(op, **arguments)

        session.testbed.server.host.call = watched  # type: ignore
        assert memcpy.copy_rate(session, 1 << 20, 0.1, "shm") > 1e9
        assert (asked["nice"], asked["realtime"]) == (session.inventory.all.vars.nice, False)
        assert asked["cgroups"] == session.testbed.server.join()


def test_instructions_are_read_off_what_callgrind_says() -> None:
    from stackrig.bench import instructions

    assert instructions.counted("==1== Events    : Ir\n==1== Collected : 23182306\n") == 23182306
    with pytest.raises(RunError, match="counted nothing"):
        instructions.counted("==1== Collected : 0\n")


@pytest.mark.parametrize(
    "verb", [["bench", "sandstorm-veth-close", "--trials"], ["run", "figure-3.6", "--repetitions"]]
)
def test_a_number_of_trials_is_none_below_zero(verb: list[str], cli: Callable[..., Any]) -> None:
    done = cli(*verb, "-1")
    assert done.returncode == 2
    assert "Input should be greater than or equal to 0" in done.stderr


def test_what_a_side_may_choose_from_is_a_setting(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text("schema: 1\noptions:\n  each_at_its_best:\n    connexions: [1]\n")
    told = bar(peer="nginx", options={"each_at_its_best": {"connexions": [1]}})
    with pytest.raises(
        UserError, match=r"b.yaml:4: field options.each_at_its_best.connexions: unknown"
    ) as error:
        names.check_bar(path, told, base.methods())
    assert "did you mean connections" in str(error.value)


def test_the_bars_are_listed(cli: Callable[..., Any]) -> None:
    listed = json.loads(cli("bench", "--json").stdout)
    assert {one["name"] for one in listed} == set(registry.bars())


def test_the_command_that_runs_a_trial_of_a_bar_again_is_one(
    cli: Callable[..., Any], root_needed: Path
) -> None:
    told = base.load("sandstorm-veth-close")
    point = trials.point(told, "peer", told.points[1])
    planned = Planned(5, 2, 1, point, 0.1, 0.1)
    words = rerun_command(Plan(f"bench-{told.name}", "bench", 1, 7, [planned], False, {}), planned)
    assert words == "stackrig bench sandstorm-veth-close --trials 1 --point nics=1,file_size=1KiB"
    assert [settings["file_size"] for settings in base.only(told, ["nics=1,file_size=1KiB"]).points] == [1024]
    done = cli(*words.split()[1:], "--dry-run")
    assert (done.returncode, "at 1 point" in done.stdout) == (0, True), done.stderr


def test_a_trial_of_either_side_names_its_point_where_both_are_one_system_in_two_settings() -> None:
    told = base.load("namestorm-batch")
    for role, batch in (("candidate", 32), ("peer", 1)):
        planned = Planned(0, 0, 1, trials.point(told, role, told.points[0]), 0.1, 0.1)  # type: ignore[arg-type]
        words = rerun_command(Plan(f"bench-{told.name}", "bench", 1, 5, [planned], False, {}), planned)
        assert f"batch={batch}," in words
        assert base.only(told, [words.split()[-1]]).points == told.points


def test_a_cell_of_a_grid_is_named_by_its_axes_too(cli: Callable[..., Any]) -> None:
    told = base.load("tcp-grid")
    cell = base.only(told, ["loss=1,delay_ms=10", "file_size=256KiB"])
    assert grid.cells_of(cell) == [{"file_size": 262144, "loss": 1, "delay_ms": 10}]
    for point, said in (("loss=2", "loss of bar tcp-grid '2'"), ("loss=1,loss=3", "name one value")):
        done = cli("bench", "tcp-grid", "--point", point, "--dry-run")
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(
    ("point", "said"),
    [("file_size=2KiB", "did you mean"), ("file_sise=1KiB", "did you mean file_size")],
)
def test_a_point_that_a_bar_does_not_have(point: str, said: str, cli: Callable[..., Any]) -> None:
    done = cli("bench", "sandstorm-veth-close", "--point", point, "--dry-run")
    assert done.returncode == 2
    assert said in done.stderr


def test_a_dry_run_starts_nothing(cli: Callable[..., Any], root_needed: Path) -> None:
    done = cli("bench", "sandstorm-veth-close", "--dry-run")
    assert done.returncode == 0
    assert "nothing was started" in done.stdout
    assert not root_needed.exists()


def test_a_bar_is_measured_and_recorded(cli: Callable[..., Any], root_needed: Path) -> None:
    point = Point(
        system="sandstorm", variant="precopy", label="s", workload="web-short", load="rigload", wire="shm", settings={}
    )  # fmt: skip
    try:
        require_programs([point])
    except UserError as error:
        pytest.skip(f"needs the build: {error}")
    done = cli("bench", "sandstorm-softnic-close", "--trials", "2", "--json")
    assert done.returncode in (0, 1), done.stderr
    told = json.loads(done.stdout)
    assert told["name"] == "sandstorm-softnic-close"
    assert told["trials"] == 2, told["failures"]
    assert told["value"] > 0
    assert told["holds"] is (told["value"] >= told["bar"])
    assert len(list(Path(told["records"]).glob("trials/*/trial.json"))) == 2

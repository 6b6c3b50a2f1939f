# SPDX-License-Identifier: Apache-2.0
"""Floods beside a load, the server's memory, and the bars over a grid and under siege."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackrig.bench import base, grid, siege, trials
from stackrig.bench.base import Measured, Outcome
from stackrig.collectors import memory
from stackrig.collectors.base import Window
from stackrig.drivers import base as drivers
from stackrig.model.bar import Bar
from stackrig.model.base import Scalar
from stackrig.model.trial import Check, Metric, Point, Trial
from tests.test_bench import record
from tests.test_collectors import CLIENT, SERVER, V1
from tests.test_drivers import LOAD

# --- the flood beside the load --------------------------------------------------------------------------------------

SLOW_READ: dict[str, Scalar] = {"mode": "close", "flood": "slow-read"}
BESIEGED = replace(
    LOAD,
    parameters=SLOW_READ,
    beside=[("afxdp:c0?queues=1", "10.77.0.201/24")],
)


def test_the_flood_goes_first_at_the_rate_that_suits_its_kind_and_outlasts_the_load() -> None:
    flood, real = drivers.get("rigload").commands(BESIEGED, "measure", None)
    words = dict(zip(flood.argv[2::2], flood.argv[3::2], strict=False))
    assert flood.argv[:2] == ["tool", "flood"]
    assert words["--kind"] == "slow-read"
    assert words["--rate"] == "5000"
    assert words["--target"] == "10.77.0.1:80"
    assert words["--address"] == "10.77.0.201/24"
    assert float(words["--duration"]) > BESIEGED.warmup_s + BESIEGED.duration_s
    assert real.argv[1] == "http"
    own = replace(BESIEGED, parameters={**BESIEGED.parameters, "flood_rate": 7.0})
    assert "7.0" in drivers.get("rigload").commands(own, "measure", None)[0].argv


def test_connections_that_are_there_to_be_many_ask_for_no_file() -> None:
    parameters: dict[str, Scalar] = {**SLOW_READ, "flood": "port-reuse"}
    many = replace(BESIEGED, parameters=parameters)
    for load, path in ((BESIEGED, BESIEGED.paths[0]), (many, "/none")):
        argv = drivers.get("rigload").commands(load, "measure", None)[0].argv
        assert argv[argv.index("--path") + 1] == path


def test_without_a_flood_there_is_one_program() -> None:
    in_peace: list[dict[str, Scalar]] = [{}, {"flood": "none"}]
    for parameters in in_peace:
        peace = replace(BESIEGED, parameters=parameters)
        assert len(drivers.get("rigload").commands(peace, "measure", None)) == 1


def test_a_flood_needs_a_client_on_kernel_sockets() -> None:
    refused = drivers.get("rigload").refuses(replace(BESIEGED, beside=[]))
    assert refused is not None
    assert "wire kernel" in refused


def test_what_the_flood_came_to_is_a_metric() -> None:
    said = {"phases": [{"name": "measure", "requests_completed": 1, "connections_completed": 1, "bytes_body": 1,
                        "duration_s": 1.0, "errors": {}, "latency_ns": {}}]}  # fmt: skip
    flood = {"duration_s": 2.0, "steps_rate": 5000.0, "segments_sent": 30_000, "connections_opened": 1000}
    outputs = {"rigload": json.dumps(said), "flood": json.dumps(flood)}
    result = drivers.get("rigload").parse(outputs, BESIEGED)
    assert result.beside == {
        "flood_rate": 5000.0,
        "flood_segments_rate": 15_000.0,
        "flood_connections_rate": 500.0,
    }


# --- memory ---------------------------------------------------------------------------------------------------------

STATUS = "Name:\tx\nVmRSS:\t  {0} kB\nHugetlbPages:\t  2048 kB\n"
SOCKSTAT = "sockets: used 9\nTCP: inuse 5 orphan 0 tw 2 alloc 7 mem 3\nUDP: inuse 0 mem 0\n"


def test_memory_is_what_is_resident_at_both_ends() -> None:
    first = {"/proc/1/status": STATUS.format(1000), memory.SOCKSTAT: SOCKSTAT}
    last = {"/proc/1/status": STATUS.format(1500), memory.SOCKSTAT: SOCKSTAT}
    found = evaluated(first, last)
    assert found.metrics["server_memory"].value == (1500 + 2048) * 1024
    assert found.metrics["server_memory_growth"].value == 500 * 1024
    assert found.metrics["kernel_sockets"].value == 7
    assert found.metrics["kernel_tcp_memory"].value == 3 * 4096


def test_what_cannot_be_read_is_unavailable_and_not_zero() -> None:
    found = evaluated({"/proc/1/status": STATUS.format(1)}, {"/proc/1/status": None})
    assert found.metrics == {}
    assert set(found.unavailable) == {
        "server_memory", "server_memory_growth", "kernel_sockets", "kernel_tcp_memory"
    }  # fmt: skip


def evaluated(first: dict[str, Any], last: dict[str, Any]) -> Any:
    from stackrig.collectors.base import Context

    context = Context(V1, {"server": SERVER, "client": CLIENT}, "kernel")
    windows = {"server": Window(1.0, first, last), "client": Window(1.0, {}, {})}
    return memory.COLLECTOR.evaluate(windows, context)


# --- bars -----------------------------------------------------------------------------------------------------------


class Folder:
    path = Path("/nowhere")


def goodput(
    point: Point, value: float, repetition: int = 0, saturated: bool = False, grown: float = 0
) -> Trial:
    trial = record(point, 1.0, repetition=repetition)
    trial.metrics["goodput"] = Metric(value=value, unit="bit/s", how="")
    trial.metrics["server_memory_growth"] = Metric(value=grown, unit="B", how="")
    assert trial.validity is not None
    seen = {"client_saturated": Check(value=saturated, evidence="seen")}
    return trial.model_copy(update={"validity": trial.validity.model_copy(update=seen)})


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Point], list[Trial]]], None]:
    """Trials of a bar are what the function makes of their points."""

    def set_up(of: Callable[[Point], list[Trial]]) -> None:
        def run(bar: Bar, rows: list[list[Point]], *_: Any) -> tuple[list[Trial], Folder]:
            return [trial for row in rows for point in row for trial in of(point)], Folder()

        monkeypatch.setattr(trials, "run", run)

    return set_up


def besieged(made: Any, of: Callable[[Point], list[Trial]]) -> tuple[Bar, Measured]:
    made(of)
    bar = base.load("tcp-siege").model_copy(
        update={"trials": 1, "points": [{"flood": "syn"}, {"flood": "ack"}]}
    )
    return bar, siege.measure(bar, None, lambda text: None)  # type: ignore[arg-type]


def test_what_is_kept_beside_a_flood_is_over_peace(made: Any) -> None:
    kept = {"none": 100.0, "syn": 90.0, "ack": 70.0}
    bar, measured = besieged(made, lambda p: [goodput(p, kept[str(p.settings["flood"])])])
    assert [outcome.value for outcome in measured.outcomes] == pytest.approx([0.9, 0.7])
    assert base.as_json(bar, measured)["holds"] is False


def test_a_flood_that_left_no_room_is_told_and_does_not_hold(made: Any) -> None:
    bar, measured = besieged(made, lambda p: [goodput(p, 100.0, saturated=p.settings["flood"] == "ack")])
    assert len(measured.outcomes) == 1
    assert "left the wire no room" in measured.failures[0]
    assert base.as_json(bar, measured)["holds"] is False


def test_memory_that_grows_fails_the_point(made: Any) -> None:
    _, measured = besieged(
        made, lambda p: [goodput(p, 100.0, grown=1e8 if p.settings["flood"] == "syn" else 0)]
    )
    assert [outcome.point for outcome in measured.outcomes] == ["flood=ack"]
    assert "memory grew by 100.0 MB" in measured.failures[0]


def over_the_grid(made: Any, of: Callable[[Point], float]) -> tuple[Bar, Measured]:
    made(lambda p: [goodput(p, of(p))])
    told = base.load("tcp-grid")
    axes = {"loss": [1], "delay_ms": [1, 10]}
    bar = told.model_copy(
        update={"trials": 1, "options": {**told.options, "axes": axes}, "points": told.points[:1]}
    )
    return bar, grid.measure(bar, None, lambda text: None)  # type: ignore[arg-type]


def test_every_cell_is_held_against_its_own_peer_and_the_median_against_more(made: Any) -> None:
    rates = {"sandstorm/cubic": 200.0, "nginx": 100.0, "sandstorm/reno": 150.0, "nginx/reno": 100.0}
    bar, measured = over_the_grid(made, lambda p: rates[p.label])
    assert [o.value for o in measured.outcomes[:-1]] == pytest.approx([2.0, 1.5, 2.0, 1.5])
    assert measured.outcomes[-1].value == pytest.approx(1.75 / 1.25)
    assert base.as_json(bar, measured)["holds"] is True


def test_a_repetition_without_a_valid_trial_leaves_its_cell_unmeasured(made: Any) -> None:
    made(lambda p: [goodput(p, 100.0)])  # one of the three that the bar asks for
    measured = grid.measure(base.load("tcp-grid"), None, lambda text: None)  # type: ignore[arg-type]
    assert measured.outcomes == []
    assert "1 of 3 repetitions" in measured.failures[0]


def test_a_median_below_what_is_asked_fails_though_every_cell_passes(made: Any) -> None:
    bar, measured = over_the_grid(made, lambda p: 110.0 if p.system == "sandstorm" else 100.0)
    assert all(outcome.value >= 1.0 for outcome in measured.outcomes[:-1])
    assert base.as_json(bar, measured)["holds"] is False


def test_a_cell_that_was_not_measured_fails_the_bar(made: Any) -> None:
    def of(p: Point) -> list[Trial]:
        lost = p.label == "nginx" and p.settings["delay_ms"] == 10
        return [] if lost else [goodput(p, 200.0 if p.system == "sandstorm" else 100.0)]

    made(of)
    told = base.load("tcp-grid")
    bar = told.model_copy(
        update={
            "trials": 1,
            "options": {**told.options, "axes": {"loss": [1], "delay_ms": [1, 10]}},
            "points": told.points[:1],
        }
    )
    measured = grid.measure(bar, None, lambda text: None)  # type: ignore[arg-type]
    assert len(measured.outcomes) == 3, "no median over a grid with a hole"
    assert base.as_json(bar, measured)["holds"] is False


def test_the_median_is_over_ratios_not_over_rates() -> None:
    outcomes = [Outcome("x", v, v, v, [], [], "bit/s") for v in (1.0, 1.3, 9.0)]
    assert grid.middle(outcomes, 1.25).value == pytest.approx(1.3 / 1.25)

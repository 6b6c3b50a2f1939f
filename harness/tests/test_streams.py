# SPDX-License-Identifier: Apache-2.0
"""Systems with several protocols, the echo and forward workloads: descriptions, plans, command lines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stackrig import plan, registry, server
from stackrig.claims.records import Cell
from stackrig.drivers import base
from stackrig.drivers.base import Load
from stackrig.errors import UserError
from stackrig.model.experiment import Experiment, Profile
from stackrig.model.trial import Point
from stackrig.model.workload import Content
from stackrig.server import Server, ServerPlan
from stackrig.session import server_plan
from stackrig.testbed.local import Wires
from stackrig.testbed.wiring import Wiring, nic
from tests.analysis import made_up

TWO = """\
schema: 1
name: {name}
kind: system
title: Two services
protocols: [echo, thrift, http]
wires: [{wires}]
build_target: two
arguments: ["--service", "{{{{ service }}}}", "--tcp-port", "{{{{ port }}}}"]
default_variant: both
variants:
  both: {{protocols: [echo, thrift]}}
  proxy: {{protocols: [{proxy}]}}
"""


def add(project: Path, name: str, wires: str, proxy: str = "http") -> None:
    folder = project / "systems" / name
    folder.mkdir()
    (folder / "system.yaml").write_text(TWO.format(name=name, wires=wires, proxy=proxy))


@pytest.fixture
def two(project: Path) -> None:
    add(project, "inside", "kernel")
    add(project, "outside", "afxdp, shm")


def planned(label: str, workload: str, **experiment: Any) -> Point:
    whole = Experiment.model_validate(
        {"systems": [label], "workload": workload, "wire": "kernel", "profiles": {"p": Profile()}}
        | experiment
    )
    return plan.one_point(whole, *registry.resolve_system(label))


@pytest.mark.usefixtures("two")
def test_a_variant_narrows_what_its_system_speaks() -> None:
    system = registry.load_system("inside")
    assert system.speaks("both") == ["echo", "thrift"]
    assert system.speaks("proxy") == ["http"]
    assert planned("inside/both", "forward").workload == "forward"
    with pytest.raises(UserError, match="inside/proxy serves http, and workload echo asks for echo"):
        planned("inside/proxy", "echo")


def test_a_variant_cannot_speak_what_its_system_does_not(project: Path) -> None:
    add(project, "inside", "kernel", proxy="dns")
    with pytest.raises(UserError, match="variant 'proxy' has protocol 'dns'"):
        registry.load_system("inside")


@pytest.mark.usefixtures("two")
def test_ours_on_kernel_sockets_alone_answers_there() -> None:
    assert planned("inside", "echo").server_wire == "kernel"
    assert planned("outside", "echo").server_wire == "afxdp"
    with pytest.raises(UserError, match="wire of inside"):
        planned("inside", "echo", server_wire="afxdp")


def argv(point: Point, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(server, "program_of", lambda _: "two")
    corpus = SimpleNamespace(root=folder, zones=())
    served = server_plan(point, corpus, [0])  # type: ignore[arg-type]
    wiring = Wiring(nics=2, server_wire=point.server_wire)
    wires = Wires(wiring, [nic("rig-1-", wiring, index) for index in range(2)])
    return Server(None, wires, served, folder)._argv()  # type: ignore[arg-type]


@pytest.mark.usefixtures("two")
def test_the_shared_words_are_those_of_the_wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = " ".join(argv(planned("inside", "forward"), tmp_path, monkeypatch))
    assert "--listen 10.77.0.1:9090 --listen 10.77.1.1:9090 --core 0 --telemetry" in words
    assert "--service forward --tcp-port 9090" in words
    assert "--port afxdp" not in words
    words = " ".join(argv(planned("outside", "echo"), tmp_path, monkeypatch))
    assert "--port afxdp:rig1s0?queues=1 --address 10.77.0.2/24" in words
    assert "--service echo --tcp-port 7" in words
    assert "--listen" not in words


@pytest.mark.usefixtures("two")
def test_our_program_may_lie_elsewhere_in_the_build_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STACKRIG_BUILD", str(tmp_path))
    place = tmp_path / "systems" / "inside" / "deep" / "two"
    place.parent.mkdir(parents=True)
    place.touch()
    system = registry.load_system("inside").model_copy(update={"program": "systems/inside/deep/two"})
    assert server.program_of(system) == str(place)


def test_a_stream_says_its_protocol_and_nothing_else_does() -> None:
    assert Content.model_validate({"kind": "stream", "protocol": "echo"}).protocol == "echo"
    for wrong in ({"kind": "stream"}, {"kind": "zone", "protocol": "echo"}, {"protocol": "echo"}):
        with pytest.raises(ValueError, match="expected kind stream and a protocol"):
            Content.model_validate(wrong)


def test_the_workloads_are_what_the_paper_runs() -> None:
    echo, forward = (registry.load_workload(name, "rigload") for name in ("echo", "forward"))
    assert (echo.protocol, forward.protocol) == ("echo", "thrift")
    assert (forward.parameters["senders"], forward.parameters["sinks"]) == (8, 20)


# --- the driver

LOAD = Load(
    program="tool", protocol="echo", targets=["10.77.0.1:7"], paths=[], parameters={"payload": 128},
    warmup_s=0.5, duration_s=2.0, wire="kernel", ports=[], cores=[1], seed=7, folder="/w", content_root="/c",
    file_size=None, local_addresses=["10.77.0.101"],
)  # fmt: skip
FORWARD = replace(LOAD, protocol="thrift", targets=["10.77.0.1:9090"], parameters={"payload": 64})


def told(load: Load) -> str:
    (command,) = base.get("rigload").commands(load, "measure", None)
    return " ".join(command.argv)


def test_rigload_echoes() -> None:
    assert told(LOAD).startswith(
        "tool echo --kernel --target 10.77.0.1:7 --core 1 --size 128 --connections 1"
    )
    assert "--pipeline 1 --warmup 0.5 --duration 2 --seed 7 --timeout-ms 5000" in told(LOAD)
    many = replace(LOAD, parameters={"payload": 128, "under_way": 300_000, "connections": 4})
    assert "--connections 4 --pipeline 2343 " in told(many)
    few = replace(LOAD, parameters={"payload": 16384, "under_way": 4096})
    assert "--pipeline 1 " in told(few)


def test_rigload_forwards_to_sinks_of_its_own() -> None:
    assert told(FORWARD).startswith("tool forward --kernel --target 10.77.0.1:9090")
    assert "--sink-address 10.77.0.101 --senders 8 --sinks 20 --size 64 --warmup 0.5" in told(FORWARD)
    assert base.get("rigload").refuses(FORWARD) is None
    nowhere = replace(FORWARD, wire="shm", local_addresses=[])
    assert "senders and sinks of `forward` are kernel sockets" in str(base.get("rigload").refuses(nowhere))
    for many in (
        replace(FORWARD, cores=[1, 2]),
        replace(FORWARD, targets=["10.77.0.1:9090", "10.77.1.1:9090"]),
    ):
        assert "one NIC, one client core" in str(base.get("rigload").refuses(many))


def test_streams_have_no_loop_to_choose() -> None:
    for load in (LOAD, FORWARD):
        assert not {"--loop", "--check-every", "--content-root", "--path"} & set(told(load).split())


def test_a_plan_knows_its_protocols_port() -> None:
    system, variant = registry.resolve_system("nginx")
    assert ServerPlan(system, variant, "http", {}, "kernel", [0], "").port == 80
    assert ServerPlan(system, variant, "thrift", {}, "kernel", [0], "").port == 9090
    assert ServerPlan(system, variant, "echo", {}, "kernel", [0], "").port == 7


def test_one_that_serves_a_connection_after_the_other_is_not_given_two() -> None:
    point = planned("user-echo", "echo", fixed={"connections": 1})
    assert point.settings["connections"] == 1
    with pytest.raises(UserError, match="one connection after the other: connections must be 1, not 8"):
        planned("user-echo", "echo", fixed={"connections": 8})
    assert planned("user-echo/epoll", "echo", fixed={"connections": 8}).settings["connections"] == 8


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({"connections": 1, "pipeline": 1, "payload": 32}, ""),
        ({"connections": 1, "pipeline": 1, "payload": 32, "under_way": 0}, ""),
        ({"connections": 1, "pipeline": 1, "payload": 32, "under_way": 32768}, "load"),
        ({"connections": 1, "pipeline": 8, "payload": 32}, "load"),
        ({"connections": 8, "pipeline": 1, "payload": 32}, "load"),
        ({"connections": 1}, "load"),
    ],
)
def test_a_conversation_in_turns_is_no_lower_bound(settings: dict[str, int], limit: str) -> None:
    """Neither side is busy, but it could not have been asked for more."""
    fig = made_up.artifact(grid={"payload": [32]}, systems=["user-echo"])
    data = made_up.make(fig, lambda *_: {"goodput": 1e6, "server_cpu_percent": 40.0}, repetitions=1)
    trial = data.trials[0]
    point = trial.point.model_copy(update={"settings": settings})
    assert Cell("user-echo", (), (trial.model_copy(update={"point": point}),), True).limited_by == limit

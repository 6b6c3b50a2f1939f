# SPDX-License-Identifier: Apache-2.0
"""The delay box in the testbed: what it is told, that it stands between, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stackrig import registry, validity
from stackrig.errors import SetupError, UserError
from stackrig.gateway.host import HostError
from stackrig.model.trial import Metric, Point
from stackrig.session import box_of, wiring_of
from stackrig.testbed import delaybox
from stackrig.testbed.local import LocalTestbed, Wires, load_inventory
from stackrig.testbed.wiring import Box, Wiring, nic
from tests.test_testbed import namespaces, traces

# --- what it is told ------------------------------------------------------------------------------------------------


def test_delay_is_on_the_way_to_the_server_and_faults_are_both_ways() -> None:
    box = Box(delay_ms=40, loss=0.1, reorder=2, rate="400M")
    assert box.words() == "delay=40ms,loss=0.1%,rate=400M,reorder=2%"
    assert box.words(delayed=False) == "loss=0.1%,rate=400M,reorder=2%"
    assert Box(bands="10ms-40ms/16").words() == "bands=10ms-40ms/16"
    assert Box().words(delayed=False) == "delay=0ms", "an empty list of words would be none"


def test_any_of_its_settings_asks_for_it_whatever_the_value() -> None:
    assert box_of({"nics": 1, "link_rate": "10G"}) is None
    assert box_of({"loss": 0}) == Box()
    assert box_of({"delay_ms": 10, "loss": 1.0, "link_rate": "400M"}) == Box(delay_ms=10, loss=1, rate="400M")


@pytest.mark.parametrize("wrong", [{"loss": -1}, {"loss": 101}, {"delay_ms": -5}, {"reorder": 200}])
def test_what_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match="expected 0"):
        box_of(wrong)  # type: ignore[arg-type]


def test_its_interfaces_have_names_short_enough_for_napi_threads() -> None:
    one = nic("rig-3f2a-", Wiring(box=Box()), 63, 1)
    names = [one.server_interface, one.client_interface, one.box_server_interface, one.box_client_interface]
    assert len(set(names)) == 4
    assert all(len(name) <= 11 for name in names)
    assert nic("rig-3f2a-", Wiring(), 0).box_server_interface == ""


def point(**settings: object) -> Point:
    return Point.model_validate(
        {"system": "nginx", "variant": "reno", "label": "nginx/reno", "workload": "web-bulk", "load": "rigload",
         "wire": "kernel", "server_wire": "kernel", "settings": settings}
    )  # fmt: skip


def test_a_variant_of_a_server_in_the_kernel_says_its_congestion_control() -> None:
    nginx, reno = registry.resolve_system("nginx/reno")
    assert reno == "reno"
    assert wiring_of(point(), nginx).congestion_control == "reno"
    other = point().model_copy(update={"variant": "mtu-frames"})
    assert wiring_of(other, nginx).congestion_control == "", "the inventory's"


def test_ours_is_told_by_its_own_command_line() -> None:
    sandstorm, _ = registry.resolve_system("sandstorm/reno")
    of_ours = point().model_copy(update={"system": "sandstorm", "server_wire": "afxdp"})
    assert wiring_of(of_ours, sandstorm).congestion_control == ""


def test_with_loss_more_may_be_sent_than_arrives_but_not_less() -> None:
    def metrics(sent: float) -> dict[str, Metric]:
        values = {
            "goodput": 8e6,
            "requests_rate": 1.0,
            "nic_tx_bytes_rate": sent,
            "nic_tx_packets_rate": 700.0,
        }
        return {name: Metric(value=value, unit="", how="") for name, value in values.items()}

    assert validity.counters_agree(metrics(2e6)).value is False
    assert validity.counters_agree(metrics(2e6), lossy=True).value is True
    assert validity.counters_agree(metrics(0.8e6), lossy=True).value is False


def test_a_box_that_is_not_built_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STACKRIG_BUILD", str(tmp_path))
    with pytest.raises(SetupError, match="not built"):
        delaybox.program()


# --- that it is there -----------------------------------------------------------------------------------------------


@pytest.fixture
def testbed(root_needed: Path) -> Iterator[LocalTestbed]:
    try:
        delaybox.program()
    except SetupError as error:
        pytest.skip(str(error))
    with LocalTestbed(*load_inventory()) as made:
        yield made


ACCEPT = "import socket; s = socket.create_server(('{0}', 80))\nwhile True: s.accept()[0].close()"
CONNECT = (
    "import socket, time; began = time.monotonic()\n"
    "socket.create_connection(('{0}', 80), timeout={1}); print(time.monotonic() - began)"
)


def connects(testbed: LocalTestbed, wires: Wires, seconds: float = 20) -> float | None:
    """How long a connection from the client took to open; None where it did not."""
    target = wires.nics[0].server_kernel
    server = testbed.server.host
    argv = [sys.executable, "-c", ACCEPT.format(target)]
    server.call("spawn", name="a", argv=argv, stdout="/dev/null", stderr="/dev/null")
    assert server.call("wait_connect", name="a", address=target, port=80, seconds=10) == "ready"
    asked = [sys.executable, "-c", CONNECT.format(target, seconds)]
    done = testbed.client.host.call("run", argv=asked, timeout=seconds + 10)
    server.call("stop", name="a", grace=1)
    return float(done["out"]) if done["code"] == 0 else None


def test_what_passes_takes_its_delay(testbed: LocalTestbed) -> None:
    wires = testbed.lay(Wiring(box=Box(delay_ms=50)))
    took = connects(testbed, wires)
    assert took is not None
    assert took >= 0.05


def test_what_it_loses_does_not_arrive(testbed: LocalTestbed) -> None:
    wires = testbed.lay(Wiring(box=Box(loss=100)))
    assert connects(testbed, wires, seconds=2) is None


def test_it_goes_with_its_wires_and_the_next_trial_has_none(testbed: LocalTestbed) -> None:
    testbed.lay(Wiring(box=Box(delay_ms=1)))
    assert testbed.box is not None
    (pid,) = testbed.box.pids
    links = testbed.box.host.run("ip", "-o", "link")
    assert "x0" in links
    wires = testbed.lay(Wiring())
    assert not Path(f"/proc/{pid}").exists()
    assert "x0" not in testbed.box.host.run("ip", "-o", "link")
    assert connects(testbed, wires) is not None


def test_two_wires_have_a_box_each(testbed: LocalTestbed) -> None:
    testbed.lay(Wiring(nics=2, box=Box()))
    assert testbed.box is not None
    assert len(testbed.box.pids) == 2


def test_one_that_died_is_told(testbed: LocalTestbed) -> None:
    testbed.lay(Wiring(box=Box()))
    assert testbed.box is not None
    testbed.box.check_alive()
    os.kill(testbed.box.pids[0], signal.SIGKILL)
    deadline = time.monotonic() + 10
    with pytest.raises(HostError, match="delay box: ended with exit code -9"):
        while time.monotonic() < deadline:
            testbed.box.check_alive()


def test_nothing_of_it_is_left(root_needed: Path) -> None:
    try:
        delaybox.program()
    except SetupError as error:
        pytest.skip(str(error))
    with LocalTestbed(*load_inventory()) as made:
        prefix = made.owner.prefix
        made.lay(Wiring(box=Box(delay_ms=1)))
        assert f"{prefix}delaybox" in namespaces()
    assert traces(prefix) == []


def test_the_record_says_whose_cores_it_shares(testbed: LocalTestbed) -> None:
    wiring = Wiring(box=Box(delay_ms=10, loss=1))
    testbed.lay(wiring)
    assert testbed.box is not None
    told = testbed.box.describe(wiring, testbed.client.cores)
    assert told["shares_cores_with"] == "client"
    assert told["to_server"] == "delay=10ms,loss=1%"
    assert told["commands"]
    assert testbed.box.describe(wiring, [99])["shares_cores_with"] == "nobody"


def test_reno_is_what_the_servers_routes_use(testbed: LocalTestbed) -> None:
    wires = testbed.lay(Wiring(congestion_control="reno"))
    assert wires.congestion_control == {"server": "reno", "client": "cubic"}
    with pytest.raises(HostError):
        testbed.lay(replace(Wiring(), congestion_control="no-such"))

# SPDX-License-Identifier: Apache-2.0
"""The local testbed: what it makes, that it is really so, and that nothing of it stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackrig import paths, registry
from stackrig.errors import SetupError, UserError
from stackrig.gateway.host import HostError
from stackrig.model.system import Wire
from stackrig.model.trial import Point
from stackrig.session import wiring_of
from stackrig.testbed import hugepages
from stackrig.testbed import owner as owners
from stackrig.testbed.cgroups import hierarchy
from stackrig.testbed.local import LocalTestbed, Side, load_inventory, passing_program
from stackrig.testbed.owner import Owner
from stackrig.testbed.wiring import Wiring, nic


@pytest.fixture
def testbed(root_needed: Path) -> Iterator[LocalTestbed]:
    with LocalTestbed(*load_inventory()) as made:
        yield made


def namespaces() -> set[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return {line.split()[0] for line in listed.splitlines() if line}


def traces(prefix: str) -> list[str]:
    """Everything on the machine whose name begins like the run's."""
    found = [name for name in namespaces() if name.startswith(prefix)]
    found += [path.name for path in Path("/dev/shm").glob(f"{prefix}*")]
    found += [path.name for path in hierarchy().base.glob(f"{prefix}*")]
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    return found + [line for line in links.splitlines() if prefix.replace("-", "") in line]


def test_nothing_is_left_of_it(root_needed: Path) -> None:
    with LocalTestbed(*load_inventory()) as made:
        made.lay(Wiring(nics=2))
        prefix = made.owner.prefix
        assert len(traces(prefix)) >= 4
        assert made.owner.record.exists()
    assert traces(prefix) == []
    assert not made.owner.record.exists()


def test_huge_pages_are_reserved_and_given_back(root_needed: Path) -> None:
    if hugepages.affordable(8) < 8:
        pytest.skip("this kernel has no pages of 2 MiB to spare")
    inventory, _ = load_inventory()
    few = inventory.all.vars.model_copy(update={"huge_pages": 8})
    inventory = inventory.model_copy(update={"all": inventory.all.model_copy(update={"vars": few})})
    before = int(hugepages.RESERVED.read_text())
    with LocalTestbed(inventory) as made:
        assert made.owner.huge_pages == 8
        assert int(hugepages.RESERVED.read_text()) == before + 8
        other = Owner.new()  # a second run that died: what it had is taken back, and no more
        other.huge_pages = hugepages.reserve(3)
        other.pid, other.started = 1 << 22, "0"
        other.save()
        assert "3 huge pages" in owners.clean_up_after_the_dead()
        assert int(hugepages.RESERVED.read_text()) == before + 8
    assert int(hugepages.RESERVED.read_text()) == before


def test_nothing_is_left_after_an_exception(root_needed: Path) -> None:
    prefix = ""
    with pytest.raises(ZeroDivisionError), LocalTestbed(*load_inventory()) as made:
        prefix = made.owner.prefix
        made.lay(Wiring())
        made.server.host.call(
            "spawn", name="sleeper", argv=["sleep", "1000"], stdout="/dev/null", stderr="/dev/null",
            cgroups=made.server.join(),
        )  # fmt: skip
        raise ZeroDivisionError
    assert traces(prefix) == []


def test_the_next_run_removes_what_a_killed_one_left(root_needed: Path) -> None:
    script = (
        "import sys, time\n"
        "from stackrig.testbed.local import LocalTestbed, load_inventory\n"
        "from stackrig.testbed.wiring import Wiring\n"
        "with LocalTestbed(*load_inventory()) as made:\n"
        "    made.lay(Wiring())\n"
        "    pid = made.server.host.call('spawn', name='s', argv=['sleep', '1000'], stdout='/dev/null',\n"
        "                                stderr='/dev/null', cgroups=made.server.join())\n"
        "    print(made.owner.prefix, pid, flush=True)\n"
        "    time.sleep(100)\n"
    )
    killed = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    prefix, pid = killed.stdout.readline().split()
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    assert f"{prefix}server" in namespaces()
    with LocalTestbed(*load_inventory()) as made:
        assert any(f"{prefix}server" in removed for removed in made.removed_before)
        assert traces(prefix) == []
        assert owners.start_time(int(pid)) is None, "its server still runs"


def test_a_living_runs_things_are_left_alone(testbed: LocalTestbed) -> None:
    before = traces(testbed.owner.prefix)
    assert owners.clean_up_after_the_dead() == []
    assert traces(testbed.owner.prefix) == before


def test_a_process_id_that_is_used_again_is_not_the_owner(root_needed: Path) -> None:
    dead = Owner.new()
    dead.started = "1"  # this very process, but not when the record was written
    dead.folders.append(str(root_needed / "left"))
    (root_needed / "left").mkdir()
    dead.save()
    assert not dead.alive()
    assert owners.clean_up_after_the_dead() == [f"folder {root_needed / 'left'}"]


def test_frames_are_of_real_size_or_the_kernels_own(testbed: LocalTestbed) -> None:
    wires = testbed.lay(Wiring(frames="mtu"))
    for features in wires.offloads.values():
        assert not features["tso"] and not features["gso"] and not features["tx"]
    wires = testbed.lay(Wiring(frames="offloads"))
    for features in wires.offloads.values():
        assert features["tso"] and features["gso"] and features["tx"]


def test_congestion_control_is_what_a_connection_really_uses(testbed: LocalTestbed) -> None:
    wires = testbed.lay(Wiring())
    target = wires.nics[0].server_kernel
    listener = f"import socket; s = socket.create_server(('{target}', 80)); c, _ = s.accept(); c.recv(1)"
    testbed.server.host.call(
        "spawn", name="l", argv=[sys.executable, "-c", listener], stdout="/dev/null", stderr="/dev/null"
    )
    assert testbed.server.host.call("wait_connect", name="l", address=target, port=80, seconds=5) == "ready"
    testbed.server.host.call("stop", name="l", grace=1)
    testbed.server.host.call(
        "spawn", name="l", argv=[sys.executable, "-c", listener], stdout="/dev/null", stderr="/dev/null"
    )
    for _ in range(100):
        try:
            used = testbed.client.host.call("congestion_control", address=target, port=80)
            break
        except Exception:
            testbed.client.host.call("window", files=[], binaries=[], begin=0, length=0.05)
    assert used == "cubic" == wires.congestion_control["client"]


def test_receive_work_is_in_threads_on_each_sides_cores(testbed: LocalTestbed) -> None:
    wires = testbed.lay(Wiring(nics=2, queues=2))
    for side in (testbed.server, testbed.client):
        threads = wires.receive_threads[side.role]
        assert len(threads) == 4
        for thread in threads:
            assert os.sched_getaffinity(thread.tid) <= set(side.cores)
            assert os.sched_getscheduler(thread.tid) == os.SCHED_RR


def test_sysctls_are_the_namespaces_own_and_read_back(testbed: LocalTestbed) -> None:
    assert testbed.server.sysctls["net.core.somaxconn"] == "65535"
    assert testbed.client.sysctls["net.ipv4.ip_local_port_range"] == "1024 65535"


def test_every_trial_has_addresses_of_its_own(testbed: LocalTestbed) -> None:
    first, second = testbed.lay(Wiring()).nics[0], testbed.lay(Wiring()).nics[0]
    assert first.network != second.network
    said = testbed.client.host.call("exchange", address=second.server_kernel, port=1, requests=[b""])
    assert said["end"] == "error: Connection refused", "the server's kernel does not answer"


def test_a_run_with_the_machines_only_core_twice_is_refused(root_needed: Path) -> None:
    inventory, _ = load_inventory()
    data = json.loads(inventory.model_dump_json(by_alias=True))
    data["all"]["children"]["clients"]["hosts"]["client"]["stackrig_cores"] = [4096]
    wrong = type(inventory).model_validate(data)
    with pytest.raises(SetupError, match="core 4096, which this machine lacks"), LocalTestbed(wrong):
        pass
    assert list(root_needed.glob("*.json")) == []


def test_a_client_whose_veth_needs_a_program_has_one_that_lets_all_through(testbed: LocalTestbed) -> None:
    def attached(side: Side, name: str) -> dict[str, object]:
        shown = json.loads(side.host.run("ip", "-json", "-details", "link", "show", "dev", name))
        found: dict[str, object] = shown[0].get("xdp", {})
        return found

    if not (paths.build_dir() / "bpf" / "pass.bpf.o").exists():
        pytest.skip("the XDP program is not built")
    for wanted in (False, True):
        wires = testbed.lay(Wiring(nics=2, client_passes=wanted))
        for one in wires.nics:
            assert attached(testbed.server, one.server_interface) == {}
            found = attached(testbed.client, one.client_interface)
            assert bool(found) == wanted
            if wanted:
                assert found["mode"] == 1, "native"
                assert found["prog"]["name"] == "stackrig_pass"  # type: ignore[index]
            with pytest.raises(HostError, match="refused"):  # the other end was reached, and said so
                testbed.client.host.call("congestion_control", address=one.server_kernel, port=9)


def test_a_program_that_is_not_built_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STACKRIG_BUILD", str(tmp_path))
    with pytest.raises(SetupError, match=r"pass\.bpf\.o: not built"):
        passing_program()


@pytest.mark.parametrize(("variant", "load", "wire", "wanted"), [
    ("xdp", "rigload", "kernel", True),
    ("xdp", "dnsperf", "kernel", True),
    ("xdp", "rigload", "afxdp", False),  # the client has a program of its own
    ("xdp", "kxdpgun", "kernel", False),
    ("wire-memcpy", "rigload", "kernel", False),
])  # fmt: skip
def test_only_kernel_clients_of_servers_that_answer_in_xdp_need_a_program(
    variant: str, load: str, wire: Wire, wanted: bool
) -> None:
    system, _ = registry.resolve_system("namestorm")
    point = Point(
        system="namestorm", variant=variant, label="", workload="dns-zone", load=load, wire=wire,
        server_wire="afxdp", settings={},
    )  # fmt: skip
    assert wiring_of(point, system).client_passes == wanted


def test_an_unknown_inventory_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean local"):
        load_inventory("locl")


def test_names_are_short_enough_for_interfaces() -> None:
    wide = nic("rig-ffff-", Wiring(nics=64), 63, 12345)
    assert max(len(wide.server_interface), len(wide.client_interface)) <= 11
    assert nic("rig-ffff-", Wiring(server_wire="shm"), 0).server_uri.startswith("shm:rig-ffff-")

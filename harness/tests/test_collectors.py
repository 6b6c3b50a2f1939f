# SPDX-License-Identifier: Apache-2.0
"""Collectors and validity over what was read: numbers, and reasons where there are none."""

from __future__ import annotations

import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from stackrig import validity
from stackrig.collectors import cpu, nic, syscalls, telemetry
from stackrig.collectors.base import Context, Side, Window
from stackrig.drivers.base import LoadResult
from stackrig.gateway import files, kernel
from stackrig.model.trial import Metric
from stackrig.plan import Planned
from stackrig.testbed.cgroups import Hierarchy, hierarchy
from stackrig.trial import Attempt, _derived, why_invalid
from tests.analysis import made_up

V1 = Hierarchy(1, Path("/cg"))
V2 = Hierarchy(2, Path("/cg"))
SERVER = Side("server", [0], "/cg/s", ["rs0"], [77], [1], None)
CLIENT = Side("client", [1], "/cg/c", ["rc0"], [78], [], None)


def stat(idle0: int, idle1: int) -> str:
    return f"cpu  0\ncpu0 100 0 100 {idle0} 0 0 0 0 0 0\ncpu1 100 0 100 {idle1} 0 0 0 0 0 0\n"


SOFTNET = "00ff " + "0 " * 12 + "\n0001 " + "0 " * 11 + "1\n"


def window(first: dict[str, str], last: dict[str, str], seconds: float = 2.0) -> Window:
    return Window(seconds, first, last)


def cpu_windows(kind: Hierarchy) -> dict[str, Window]:
    """Two seconds in which core 0 was idle for 0.4: 1.0 s server, 0.3 its NAPI thread, 0.1 others, 0.2 softirq in
    idle."""

    def usage(ns: int) -> str:
        return str(ns) if kind.version == 1 else f"usage_usec {ns // 1000}\nuser_usec 1\n"

    per_core = kind.per_core_file()

    def texts(group: str, ns: int, core_ns: int, idle: int, thread: int) -> dict[str, str]:
        found = {
            "/proc/stat": stat(idle, idle), "/proc/net/softnet_stat": SOFTNET.replace("00ff", f"{idle:04x}"),
            kind.usage_file(Path(group)): usage(ns), "/proc/77/schedstat": f"{thread} 0 1",
            "/proc/78/schedstat": f"{thread} 0 1",
        }  # fmt: skip
        if per_core:
            found[per_core] = f"{core_ns} {core_ns} "
        return found

    return {
        side.role: window(
            texts(side.cgroup, 5_000_000_000, 9_000_000_000, 1000, 10),
            texts(side.cgroup, 6_000_000_000, 10_400_000_000, 1040, 300_000_010),
        )
        for side in (SERVER, CLIENT)
    }


def context(kind: Hierarchy = V1) -> Context:
    return Context(kind, {"server": SERVER, "client": CLIENT}, "kernel")


def test_cpu_of_a_side_is_group_threads_and_softirq_in_idle() -> None:
    found = cpu.COLLECTOR.evaluate(cpu_windows(V1), context())
    assert found.metrics["server_cpu_cores"].value == pytest.approx((1.0 + 0.3 + 0.2) / 2)
    assert found.metrics["server_cpu_percent"].value == pytest.approx(75)
    assert found.metrics["server_receive_cpu_cores"].value == pytest.approx(0.25)
    assert found.metrics["machine_cpu_cores"].value == pytest.approx(2 * 0.8)
    assert found.facts["server_foreign_cores"] == pytest.approx(0.05)
    assert found.facts["server_received_rate"] == 20


KERNELS = [
    {"name": "ksoftirqd/0", "cpu": 0, "ns": 100_000_000},
    {"name": "ksoftirqd/1", "cpu": 1, "ns": 40_000_000},
    {"name": "kworker/0:1H", "cpu": 0, "ns": 50_000_000},
    {"name": "kworker/0:2", "cpu": 0, "ns": 150_000_000},
    {"name": "kworker/1:0", "cpu": 1, "ns": 900_000_000},
    {"name": "kworker/u8:3", "cpu": 0, "ns": 100_000_000},
    {"name": "kworker/u8:4", "cpu": 1, "ns": 700_000_000},
]


def test_softirq_that_was_put_off_is_its_cores_sides() -> None:
    windows = cpu_windows(V1)
    for one in windows.values():
        one.threads = KERNELS
    found = cpu.COLLECTOR.evaluate(windows, context())
    assert found.metrics["server_cpu_cores"].value == pytest.approx((1.0 + 0.3 + 0.1 + 0.2) / 2)
    assert found.metrics["client_receive_cpu_cores"].value == pytest.approx((0.3 + 0.04 + 0.2) / 2)
    assert found.facts["server_foreign_cores"] == pytest.approx(0.0), "workers are others' work"
    assert "server_worker_cpu_cores" not in found.metrics
    assert "server_busy_percent" not in found.metrics


def test_a_server_in_the_kernel_works_in_its_cores_workers() -> None:
    windows = cpu_windows(V1)
    windows["server"].threads = KERNELS
    here = Context(V1, {"server": replace(SERVER, in_kernel=True), "client": CLIENT}, "kernel")
    found = cpu.COLLECTOR.evaluate(windows, here)
    assert found.metrics["server_worker_cpu_cores"].value == pytest.approx((0.05 + 0.15 + 0.1) / 2)
    assert found.metrics["server_cpu_cores"].value == pytest.approx((1.0 + 0.3 + 0.1 + 0.3 + 0.2) / 2)
    assert found.metrics["server_busy_percent"].value == pytest.approx(95)
    assert "kernel workers 0.150" in found.metrics["server_busy_percent"].how
    assert found.facts["server_foreign_cores"] == pytest.approx((1.4 - 1.0 - 0.3 - 0.1 - 0.3) / 2)


def test_the_kernels_threads_are_timed_within_the_window_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter([{5: ("kworker/0:1", 0, 70)}, {5: ("kworker/0:1", 0, 100), 6: ("kworker/0:2", 0, 9)}])
    monkeypatch.setattr(files, "_run_times", lambda prefixes: next(times))
    host = files.Files()
    said = host.window([], [], 0, 0, ["kworker/"])
    assert [(one["name"], one["ns"]) for one in said["threads"]] == [("kworker/0:1", 30), ("kworker/0:2", 9)]


def test_this_machine_has_kernel_threads_with_their_times() -> None:
    found = files._run_times(["ksoftirqd/0", "kworker/"])
    if not found:
        pytest.skip("no kernel threads are seen here: another PID namespace")
    _, core, ran = next(one for one in found.values() if one[0] == "ksoftirqd/0")
    assert core == 0
    assert ran >= 0
    assert files._run_times([]) == {}


def test_cpu_without_time_by_core_leaves_out_what_it_cannot_know_and_says_so() -> None:
    found = cpu.COLLECTOR.evaluate(cpu_windows(V2), context(V2))
    assert found.metrics["server_cpu_cores"].value == pytest.approx(0.65)
    assert "no time by core here" in found.metrics["server_cpu_cores"].how
    assert "server_foreign_cores" not in found.facts


def test_cpu_that_cannot_be_read_is_unavailable() -> None:
    windows = cpu_windows(V1)
    windows["server"].last[V1.usage_file(Path("/cg/s"))] = None
    found = cpu.COLLECTOR.evaluate(windows, context())
    assert "server_cpu_cores" not in found.metrics
    assert found.unavailable["server_cpu_cores"].startswith("because /cg/s/cpuacct.usage cannot be read")


def test_nic_counters_are_rates_over_all_nics_and_unavailable_without_one() -> None:
    first = dict.fromkeys(nic.COLLECTOR.files(SERVER, context()), "100")
    last = dict.fromkeys(first, "300")
    found = nic.COLLECTOR.evaluate({"server": window(first, last)}, context())
    assert found.metrics["nic_tx_bytes_rate"].value == 100
    last["/sys/class/net/rs0/statistics/tx_bytes"] = None  # type: ignore[assignment]
    found = nic.COLLECTOR.evaluate({"server": window(first, last)}, context())
    assert "nic_tx_bytes_rate" not in found.metrics
    assert "cannot be read" in found.unavailable["nic_tx_bytes_rate"]


def test_full_socket_buffers_are_counted_in_the_servers_namespace() -> None:
    def snmp(lost: int) -> str:
        return f"Tcp: InSegs\nTcp: 7\nUdp: InDatagrams RcvbufErrors SndbufErrors\nUdp: 90 {lost} 0\n"

    files = nic.COLLECTOR.files(SERVER, context())
    assert "/proc/net/snmp" in files
    ends = [dict.fromkeys(files, "1") | {"/proc/net/snmp": snmp(lost)} for lost in (10, 50)]
    found = nic.COLLECTOR.evaluate({"server": window(ends[0], ends[1])}, context())
    assert found.metrics["udp_rcvbuf_errors_rate"].value == 20
    ends[1]["/proc/net/snmp"] = "Tcp: InSegs\nTcp: 7\n"
    found = nic.COLLECTOR.evaluate({"server": window(ends[0], ends[1])}, context())
    assert "no Udp: RcvbufErrors" in found.unavailable["udp_rcvbuf_errors_rate"]


def page(entries: list[tuple[str, int, int]]) -> bytes:
    size = 40 + 112 * len(entries) + 8 * len(entries)
    start = 40 + 112 * len(entries)
    out = struct.pack("<8sIIQQQ", b"SRIGTEL1", len(entries), start, size, 1, 0)
    for index, (name, kind, _) in enumerate(entries):
        out += struct.pack("<64s24sIIQQ", name.encode(), b"x", kind, 0, start + 8 * index, 8)
    return out + b"".join(struct.pack("<Q", value) for _, _, value in entries)


def telemetry_window(
    first: list[tuple[str, int, int]], last: list[tuple[str, int, int]]
) -> dict[str, Window]:
    return {"server": Window(2.0, {"/t": page(first)}, {"/t": page(last)})}


def with_page() -> Context:
    ours = Side("server", [0], "/cg/s", [], [], [1], "/t")
    return Context(V1, {"server": ours, "client": CLIENT}, "shm")


def test_telemetry_sums_queues_and_measures_the_loops() -> None:
    names = ["q0.loop.busy_cycles", "q1.loop.busy_cycles", "q0.nmio.syscalls", "q1.nmio.syscalls"]
    first = [(name, 1, 100) for name in names] + [("cycles_per_second", 2, 1000)]
    last = [(name, 1, 600) for name in names] + [("cycles_per_second", 2, 1000)]
    found = telemetry.COLLECTOR.evaluate(telemetry_window(first, last), with_page())
    assert found.metrics["server_busy_percent"].value == pytest.approx(50)
    assert found.metrics["nmio_syscalls_rate"].value == pytest.approx(500)
    assert "has no q*.tcp.retransmits" in found.unavailable["retransmits_rate"]


@pytest.mark.parametrize("broken", [b"", b"NOTAPAGE" + bytes(100), page([("a", 1, 1)])[:60]])
def test_a_page_that_is_none_is_unavailable(broken: bytes) -> None:
    found = telemetry.COLLECTOR.evaluate({"server": Window(2.0, {"/t": broken}, {"/t": broken})}, with_page())
    assert found.unavailable["server_busy_percent"].startswith("because the telemetry page")


def test_syscalls_that_were_not_counted_say_why() -> None:
    assert syscalls.evaluate(None, "tracefs is not mounted").unavailable == {
        "syscalls_rate": "because tracefs is not mounted",
        "syscalls_per_request": "because tracefs is not mounted",
    }
    assert syscalls.evaluate({"count": 500, "ns": 500_000_000}, "").metrics["syscalls_rate"].value == 1000


def test_events_are_counted_within_the_window_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not from when the tracepoint was opened, which takes its time."""
    fired = iter([100, 600])
    monkeypatch.setattr(kernel, "_fired", lambda descriptors: next(fired))
    host = kernel.Kernel.__new__(kernel.Kernel)
    monkeypatch.setattr(host, "_pause", lambda seconds: None)
    assert host.count([3, 4], begin=0.1, length=0.3)["count"] == 500


def test_syscalls_per_request_are_of_the_phase_in_which_they_were_counted() -> None:
    found = syscalls.evaluate({"count": 500, "ns": 500_000_000}, "", requests_rate=400.0)
    assert found.metrics["syscalls_per_request"].value == pytest.approx(2.5)
    nobody = syscalls.evaluate({"count": 500, "ns": 500_000_000}, "", requests_rate=0.0)
    assert "no request was answered" in nobody.unavailable["syscalls_per_request"]


def test_this_machines_control_groups_are_found(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")
    assert hierarchy.__wrapped__(str(mounts)) == Hierarchy(2, Path("/sys/fs/cgroup"))
    mounts.write_text("a /u cgroup2 rw 0 0\nb /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n")
    assert hierarchy.__wrapped__(str(mounts)) == Hierarchy(
        1, Path("/sys/fs/cgroup/cpu,cpuacct"), "cpu,cpuacct"
    )
    mounts.write_text("")
    assert hierarchy.__wrapped__(str(mounts)).version == 0


# --- validity ---------------------------------------------------------------------------------------------------


def metrics(**values: float) -> dict[str, Metric]:
    return {name: Metric(value=value, unit="", how="test") for name, value in values.items()}


RESULT = LoadResult(requests=990, connections=None, body_bytes=1, duration_s=1.0, errors={})


def test_a_busy_client_is_saturated() -> None:
    assert validity.client_saturated(metrics(client_busy=0.99), RESULT).value is True
    assert validity.client_saturated(metrics(client_busy=0.5), RESULT).value is False
    assert validity.client_saturated({}, RESULT).value is None


def test_a_busy_client_that_offered_more_than_was_served_did_not_limit_anything() -> None:
    overload = replace(RESULT, sent=2000)
    assert validity.client_saturated(metrics(client_busy=0.99), overload).value is False
    met = replace(RESULT, sent=991)
    assert validity.client_saturated(metrics(client_busy=0.99), met).value is True


def test_a_client_that_counts_fewer_answers_than_the_server_sent_is_the_limit() -> None:
    overload = replace(RESULT, sent=2000)
    seen = metrics(requests_rate=990, nic_tx_packets_rate=1500)
    assert validity.client_saturated(seen, overload).value is True
    seen = metrics(requests_rate=990, nic_tx_packets_rate=1010)
    assert validity.client_saturated(seen, overload).value is False


def test_a_server_that_answers_twice_or_late_is_found() -> None:
    assert validity.answered_once(RESULT).value is None, "not every generator counts them"
    few = replace(RESULT, requests=99_900, unasked=100)
    assert validity.answered_once(few).value is True
    twice = validity.answered_once(replace(few, unasked=102))
    assert twice.value is False
    assert "102 of 100002" in twice.evidence


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({}, ""),
        ({"answered_once": None, "wire_limit": None}, ""),
        ({"answered_once": False}, "answers that nobody waited for"),
        ({"wire_limit": False}, "faster than the wire"),
    ],
)
def test_a_trial_of_a_server_that_answers_twice_is_invalid(found: dict[str, bool | None], why: str) -> None:
    told = why_invalid(made_up.validity(**found))
    assert told.startswith(why)
    assert bool(told) == bool(why)


def test_an_offer_is_met_or_not_and_a_closed_loop_makes_none() -> None:
    assert validity.offered_met(RESULT).value is None
    RESULT.offered_rate = 1000
    assert validity.offered_met(RESULT).value is True
    RESULT.offered_rate = 1100
    assert validity.offered_met(RESULT).value is False


def test_counters_that_disagree_are_found() -> None:
    good = metrics(goodput=8e6, requests_rate=1000, nic_tx_bytes_rate=1.3e6, nic_tx_packets_rate=3000)
    assert validity.counters_agree(good).value is True
    assert validity.counters_agree({**good, **metrics(nic_tx_bytes_rate=0.5e6)}).value is False, (
        "sent less than got"
    )
    assert validity.counters_agree({**good, **metrics(nic_tx_bytes_rate=9e6)}).value is False, (
        "sent much more"
    )
    assert validity.counters_agree({}).value is None


def test_what_is_passed_on_came_in_as_well() -> None:
    rates = {"nic_tx_bytes_rate": 1.2e6, "nic_tx_packets_rate": 3e3, "nic_rx_packets_rate": 3e3}
    good = metrics(goodput=8e6, requests_rate=31250.0, nic_rx_bytes_rate=1.15e6, **rates)
    assert validity.counters_agree(good, passes_on=True).value is True
    made_up_bytes = {**good, **metrics(nic_rx_bytes_rate=0.2e6)}
    assert validity.counters_agree(made_up_bytes, passes_on=True).value is False
    assert validity.counters_agree(made_up_bytes).value is True, "an answer may be larger than its question"
    twice = {**good, **metrics(nic_tx_bytes_rate=2.2e6)}
    assert validity.counters_agree(twice, passes_on=True).value is False, "no headers of answers excuse it"
    assert validity.counters_agree(metrics(goodput=8e6), passes_on=True).value is None


def test_a_wires_rate_binds_either_direction() -> None:
    assert (
        validity.wire_limit(metrics(nic_tx_bytes_rate=1e3, nic_rx_bytes_rate=2e9), "shm", "10G").value
        is False
    )


def test_a_rate_beyond_the_wires_is_found() -> None:
    assert validity.wire_limit(metrics(nic_tx_bytes_rate=2e9), "shm", "10G").value is False
    assert validity.wire_limit(metrics(nic_tx_bytes_rate=1e9), "shm", "10G").value is True
    assert validity.wire_limit({}, "afxdp", "").value is True


def place(cores: list[int]) -> dict[str, object]:
    thread = {"tid": 1, "name": "napi/x-1", "cores": cores}
    return {
        "cores": {"server": [0], "client": [1]},
        "threads": {"server": [thread], "client": [{**thread, "cores": [1]}]},
    }


RATES = metrics(nic_rx_packets_rate=1e5, nic_tx_packets_rate=1e5)
SPENT = {"server_thread_cores": 0.05, "client_thread_cores": 0.05}


def test_placement_holds_where_each_sides_threads_did_the_work() -> None:
    assert validity.placement_holds(RATES, SPENT, place([0]), "kernel").value is True


def test_placement_does_not_hold_on_foreign_cores_without_threads_or_with_idle_ones() -> None:
    assert validity.placement_holds(RATES, SPENT, place([1]), "kernel").value is False
    assert validity.placement_holds(RATES, SPENT, {**place([0]), "threads": {}}, "kernel").value is False
    idle = {**SPENT, "server_thread_cores": 0.0}
    assert validity.placement_holds(RATES, idle, place([0]), "kernel").value is False


def test_placement_by_rps_holds_where_packets_were_handed_over() -> None:
    how = {**place([0]), "receive": "rps"}
    assert validity.placement_holds(
        RATES, {"server_received_rate": 9e4, "client_received_rate": 9e4}, how, "kernel"
    ).value
    astray = validity.placement_holds(
        RATES, {"server_received_rate": 1e4, "client_received_rate": 9e4}, how, "kernel"
    )
    assert astray.value is False


def test_others_on_the_cores_are_noticed() -> None:
    assert validity.undisturbed({"server_foreign_cores": 0.5, "client_foreign_cores": 0.0}).value is False
    assert validity.undisturbed({"server_foreign_cores": 0.01, "client_foreign_cores": 0.0}).value is True
    assert validity.undisturbed({}).value is None


def test_a_client_at_the_real_time_cap_is_saturated() -> None:
    """Real-time tasks get 95 % of a core: one that has no time left never shows more."""
    assert validity.client_saturated(metrics(client_busy=0.937), RESULT).value is True
    assert validity.client_saturated(metrics(client_busy=0.9), RESULT).value is False


def test_a_client_that_sleeps_is_busy_with_all_its_time_and_one_that_looks_with_its_work() -> None:
    def busy(looks: bool) -> float:
        result = LoadResult(1, None, None, 1.0, {}, busy=0.2, looks=looks)
        attempt = Attempt(Planned(0, 0, 1, None, 0.1, 0.1), "")  # type: ignore[arg-type]
        for name, value in (("client_process_cpu_cores", 0.5), ("client_receive_cpu_cores", 0.46)):
            attempt.metrics[name] = Metric(value=value, unit="cores", how="")
        _derived(attempt, result, 1)
        return attempt.metrics["client_busy"].value

    assert busy(looks=False) == pytest.approx(0.96)
    assert busy(looks=True) == pytest.approx(0.66)


def test_the_kernels_workers_are_hurried_and_calmed() -> None:
    """On this machine's own, where it lets anyone."""
    host = kernel.Kernel()
    wanted = kernel._kernel_threads(("kworker/0:",))
    if not wanted or os.geteuid() != 0:
        pytest.skip("needs root, and kernel threads to be seen")
    before = {tid: (os.sched_getscheduler(tid), os.getpriority(os.PRIO_PROCESS, tid)) for tid, _ in wanted}
    try:
        assert host.hurry_workers([0], nice=-20, realtime=True)
        host.hurry_workers([0], nice=-20, realtime=True)  # again: what was before is not forgotten
        there = {tid for tid, _ in kernel._kernel_threads(("kworker/0:",))}
        assert {os.sched_getscheduler(tid) for tid in there & set(host.hurried)} == {os.SCHED_RR}
    finally:
        host.calm_workers()
    left = {tid for tid, _ in kernel._kernel_threads(("kworker/0:",))} & set(before)
    after = {tid: (os.sched_getscheduler(tid), os.getpriority(os.PRIO_PROCESS, tid)) for tid in left}
    assert after == {tid: before[tid] for tid in left}
    assert host.hurried == {}

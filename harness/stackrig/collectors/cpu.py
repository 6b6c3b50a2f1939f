# SPDX-License-Identifier: Apache-2.0
"""CPU time by who caused it: the server's processes, the receive work done for it, everybody else.

A side's CPU is the sum of
  - its control group: the processes, with the softirq work that ran on top of them (this kernel charges that
    to the task below, as all kernels without IRQ time accounting do);
  - its NAPI threads (collected by thread), and the softirq work that was put off to its cores' ksoftirqd;
  - where the server is the kernel itself (in-kernel), the kernel workers on its cores;
  - softirq work that ran on its cores while they were idle, which no task is charged for: the cores' busy time
    less the time of all tasks there. Needs CPU time by core (control groups v1, or /proc/schedstat).
"""

from __future__ import annotations

from stackrig.collectors.base import Collected, Context, Side, Window

STAT, SCHEDSTAT, SOFTNET = "/proc/stat", "/proc/schedstat", "/proc/net/softnet_stat"
SOFTIRQ, WORKER = "ksoftirqd/", "kworker/"
THREADS = [SOFTIRQ, WORKER]
"""The kernel's threads whose time is asked for."""
TICKS = 100.0  # USER_HZ: /proc/stat counts hundredths of a second on every Linux


class Cpu:
    name = "cpu"

    def files(self, side: Side, context: Context) -> list[str]:
        from pathlib import Path

        found = [STAT, SCHEDSTAT, SOFTNET, context.hierarchy.usage_file(Path(side.cgroup))]
        if (per_core := context.hierarchy.per_core_file()) is not None:
            found.append(per_core)
        found += [f"/proc/{tid}/schedstat" for tid in (*side.receive_threads, *side.lodger_threads)]
        if side.lodger_cgroup:
            found.append(context.hierarchy.usage_file(Path(side.lodger_cgroup)))
        return found

    def binaries(self, side: Side, context: Context) -> list[str]:
        return []

    def evaluate(self, windows: dict[str, Window], context: Context) -> Collected:
        found = Collected()
        for role, window in windows.items():
            _side(found, context.sides[role], window, context)
        cores = busy_cores(windows["server"])
        found.put(
            "machine_cpu_cores", sum(cores.values()), "cores", "/proc/stat: all cores less idle and iowait"
        )
        stolen = sum(_cpu_lines(windows["server"].last[STAT])[c][7] for c in cores) - sum(
            _cpu_lines(windows["server"].first[STAT])[c][7] for c in cores
        )
        found.facts["stolen_cores"] = stolen / TICKS / windows["server"].seconds
        return found


def _side(found: Collected, side: Side, window: Window, context: Context) -> None:
    from pathlib import Path

    role, seconds = side.role, window.seconds
    usage = context.hierarchy.usage_file(Path(side.cgroup))
    if window.missing(usage):
        found.unavailable[f"{role}_cpu_cores"] = f"because {usage} cannot be read"
        return
    group = (
        (context.hierarchy.usage_ns(window.last[usage]) - context.hierarchy.usage_ns(window.first[usage]))
        / 1e9
        / seconds
    )
    threads = sum(_thread_seconds(window, tid) for tid in side.receive_threads) / seconds
    put_off = _kernel_threads(window, side, SOFTIRQ) / seconds
    workers = _kernel_threads(window, side, WORKER) / seconds if side.in_kernel else 0.0
    busy = busy_cores(window)
    on_cores = sum(busy.get(core, 0.0) for core in side.cores)
    tasks = _task_cores(window, side.cores, context)
    in_idle: float | None = None
    if tasks is not None:
        # The accounts are kept by different clocks; a difference under zero is their noise.
        in_idle = max(0.0, on_cores - tasks)
    total = group + threads + put_off + workers + (in_idle or 0.0)
    parts = f"control group {group:.3f} + NAPI threads {threads:.3f} + ksoftirqd {put_off:.3f}"
    parts += f" + kernel workers {workers:.3f}" if side.in_kernel else ""
    parts += (
        f" + softirq in idle {in_idle:.3f}"
        if in_idle is not None
        else "; softirq in idle: no time by core here"
    )
    found.put(f"{role}_cpu_cores", total, "cores", parts)
    found.put(f"{role}_cpu_percent", 100 * total / len(side.cores), "%", f"of {len(side.cores)} core(s)")
    found.put(f"{role}_process_cpu_cores", group, "cores", f"{Path(usage).name} of the control group")
    found.put(
        f"{role}_receive_cpu_cores",
        threads + put_off + (in_idle or 0.0),
        "cores",
        "NAPI threads, ksoftirqd and softirq in idle",
    )
    if side.in_kernel:
        found.put(f"{role}_worker_cpu_cores", workers, "cores", "kernel workers on its cores")
        # It has no loop of its own whose work could be told from its looking for work.
        found.put(
            f"{role}_busy_percent", 100 * total / len(side.cores), "%", f"CPU time of the kernel: {parts}"
        )
    found.facts[f"{role}_cores_busy"] = on_cores
    found.facts[f"{role}_thread_cores"] = threads
    if tasks is not None:
        # May be negative where part of the side's work ran on other cores than its own.
        lodger = _lodger(found, side, window, context)
        found.facts[f"{role}_foreign_cores"] = tasks - group - threads - put_off - workers - lodger
    found.facts[f"{role}_received_rate"] = _received(window, side.cores) / seconds


def _lodger(found: Collected, side: Side, window: Window, context: Context) -> float:
    """The delay box on this side's cores: no stranger, and none of the side's own."""
    from pathlib import Path

    if not side.lodger_cgroup:
        return 0.0
    usage = context.hierarchy.usage_file(Path(side.lodger_cgroup))
    if window.missing(usage):
        return 0.0
    group = (
        (context.hierarchy.usage_ns(window.last[usage]) - context.hierarchy.usage_ns(window.first[usage]))
        / 1e9
        / window.seconds
    )
    threads = sum(_thread_seconds(window, tid) for tid in side.lodger_threads) / window.seconds
    how = f"on the {side.role}'s cores: control group {group:.3f} + NAPI threads {threads:.3f}"
    found.put("delaybox_cpu_cores", group + threads, "cores", how)
    return group + threads


def _thread_seconds(window: Window, tid: int) -> float:
    path = f"/proc/{tid}/schedstat"
    if window.missing(path):
        return 0.0
    return (int(window.last[path].split()[0]) - int(window.first[path].split()[0])) / 1e9


def _kernel_threads(window: Window, side: Side, kind: str) -> float:
    """Seconds that the kernel's threads of a kind ran on the side's cores: those bound there, by their names, and
    those of no core (kworker/u...) by where they ran last."""
    total = 0.0
    for thread in window.threads:
        if thread["name"].startswith(kind):
            core = thread["name"].removeprefix(kind).partition(":")[0]
            where = int(core) if core.isdigit() else thread["cpu"]
            total += thread["ns"] / 1e9 if where in side.cores else 0.0
    return total


def _cpu_lines(stat: str) -> dict[int, list[int]]:
    found = {}
    for line in stat.splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            found[int(name[3:])] = [int(field) for field in fields]
    return found


def busy_cores(window: Window) -> dict[int, float]:
    """Core → share of the window in which it was not idle. Idle time is exact on a tickless kernel."""
    first, last = _cpu_lines(window.first[STAT]), _cpu_lines(window.last[STAT])
    found = {}
    for core, after in last.items():
        before = first.get(core, after)
        idle = (after[3] + after[4] - before[3] - before[4]) / TICKS
        found[core] = min(1.0, max(0.0, 1.0 - idle / window.seconds))
    return found


def _task_cores(window: Window, cores: list[int], context: Context) -> float | None:
    """Cores' worth of time that tasks of any kind ran on `cores`; None where the kernel does not tell."""
    path = context.hierarchy.per_core_file()
    if path is not None and not window.missing(path):
        first, last = window.first[path].split(), window.last[path].split()
        return sum(int(last[core]) - int(first[core]) for core in cores) / 1e9 / window.seconds
    if not window.missing(SCHEDSTAT):
        first_ns, last_ns = _run_time(window.first[SCHEDSTAT]), _run_time(window.last[SCHEDSTAT])
        if all(core in first_ns and core in last_ns for core in cores):
            return sum(last_ns[core] - first_ns[core] for core in cores) / 1e9 / window.seconds
    return None


def _run_time(schedstat: str) -> dict[int, int]:
    """Core → ns of all tasks: the seventh number of its line (Documentation/scheduler/sched-stats.rst)."""
    found = {}
    for line in schedstat.splitlines():
        words = line.split()
        if words and words[0].startswith("cpu") and len(words) > 7:
            found[int(words[0][3:])] = int(words[7])
    return found


def _received(window: Window, cores: list[int]) -> int:
    """Packets that went up the kernel's stack on `cores`, whoever they were for."""

    def count(text: str) -> int:
        # Hexadecimal, a line for each core that is online: the first number is packets, the thirteenth the core.
        lines = [[int(word, 16) for word in line.split()] for line in text.splitlines()]
        by_core = {line[12] if len(line) > 12 else index: line[0] for index, line in enumerate(lines)}
        return sum(by_core.get(core, 0) for core in cores)

    if window.missing(SOFTNET):
        return 0
    return count(window.last[SOFTNET]) - count(window.first[SOFTNET])


COLLECTOR = Cpu()

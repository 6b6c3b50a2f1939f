# SPDX-License-Identifier: Apache-2.0
"""Each side pays for its own packets.

On veth, a frame's delivery runs where the sender runs, in the sender's time, unless something moves it. Here
each interface's receive work is put into NAPI threads of its own, pinned to the cores of the side that receives.
docs/placement.md has the measurements behind the choice and the commands to repeat them.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from stackrig.gateway.host import Host, HostError
from stackrig.model.inventory import Vars


@dataclass(frozen=True)
class Thread:
    """A NAPI thread: where it may run and how it is scheduled, as read back."""

    tid: int
    name: str
    cores: list[int]


def mode(how: Vars, frames: str) -> str:
    """Where receive work runs. A veth whose peer cuts segments late (TSO) passes its NAPI instance by, so that
    with the kernel's own offloads packets are steered to the receiving side's cores instead (RPS)."""
    return "rps" if how.receive == "napi-threads" and frames == "offloads" else how.receive


def settle(
    host: Host,
    interfaces: list[str],
    cores: list[int],
    queues: int,
    how: Vars,
    before_process: bool = False,
    frames: str = "mtu",
) -> list[Thread]:
    """Put the receive work of `interfaces` onto `cores`; the threads that do it now. `before_process`: they
    preempt the side's process, which without that would never let them run."""
    if mode(how, frames) == "rps":
        mask = f"{sum(1 << core for core in cores):x}"
        for interface in interfaces:
            for queue in range(queues):
                _write(host, f"/sys/class/net/{interface}/queues/rx-{queue}/rps_cpus", mask)
        return []
    if mode(how, frames) == "sender":
        return []
    for interface in interfaces:
        _write(host, f"/sys/class/net/{interface}/threaded", "1")
    return [thread for name in interfaces for thread in _pin(host, name, cores, queues, how, before_process)]


def _pin(
    host: Host, interface: str, cores: list[int], queues: int, how: Vars, before_process: bool
) -> list[Thread]:
    prefix = f"napi/{interface}-"
    deadline = time.monotonic() + 2
    while True:
        realtime = (2 if before_process else 1) if how.policy == "realtime" else 0
        found = host.call("place_threads", prefix=prefix, cores=cores, nice=how.nice, realtime=realtime)
        if len(found) >= queues:
            return [Thread(**one) for one in found]
        if time.monotonic() > deadline:
            raise HostError(f"{interface}: expected {queues} NAPI threads, found {len(found)}")
        time.sleep(0.01)


def describe(
    how: Vars, frames: str, threads: dict[str, list[Thread]], cores: dict[str, list[int]]
) -> dict[str, object]:
    """For the trial's provenance."""
    return {
        "receive": mode(how, frames),
        "policy": how.policy,
        "nice": how.nice,
        "cores": cores,
        "threads": {role: [asdict(thread) for thread in found] for role, found in threads.items()},
    }


def _write(host: Host, path: str, text: str) -> None:
    if (refused := host.call("write", path=path, text=text)) is not None:
        raise HostError(f"{path} does not take {text!r}: {refused}")

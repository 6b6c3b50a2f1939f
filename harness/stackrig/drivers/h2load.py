# SPDX-License-Identifier: Apache-2.0
"""h2load in its HTTP/1.1 mode, as it comes from the distribution: one process per NIC, figures from its text."""

from __future__ import annotations

import re

from stackrig.drivers.base import Command, Load, LoadResult, ParseError, PhaseName, merge, share

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_TIME = r"([\d.]+)(us|ms|s|m)"


class H2load:
    name = "h2load"
    warms_up_itself = False

    def refuses(self, load: Load) -> str | None:
        if load.wire != "kernel":
            return f"h2load uses kernel sockets; it cannot reach the wire {load.wire}"
        if load.closes:
            return "h2load keeps its connections; it cannot open one per request"
        return None

    def commands(self, load: Load, phase: PhaseName, before: LoadResult | None) -> list[Command]:
        seconds = load.warmup_s if phase == "warmup" else load.duration_s
        commands = []
        for index, target in enumerate(load.targets):
            connections = share(load.whole("connections", 64), len(load.targets), index)
            threads = min(len(load.cores), connections)
            # -D takes whole seconds only.
            argv = [
                load.program,
                "--h1",
                "-t",
                str(threads),
                "-c",
                str(connections),
                "-D",
                str(max(1, round(seconds))),
            ]
            commands.append(
                Command(f"h2load-{index}", argv + [f"http://{target}{path}" for path in load.paths])
            )
        return commands

    def parse(self, outputs: dict[str, str], load: Load) -> LoadResult:
        return merge([_parse(name, text, load) for name, text in sorted(outputs.items())])

    def version_command(self, program: str) -> list[str]:
        return [program, "--version"]


def _parse(name: str, text: str, load: Load) -> LoadResult:
    finished = re.search(rf"finished in {_TIME}, ([\d.]+) req/s", text)
    requests = re.search(
        r"requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, "
        r"(\d+) failed, (\d+) errored, (\d+) timeout",
        text,
    )
    traffic = re.search(r"traffic: .*?\((\d+)\) total, .*?\((\d+)\) headers.*?, .*?\((\d+)\) data", text)
    if not (finished and requests and traffic):
        raise ParseError(f"{name}: expected h2load's lines 'finished in', 'requests:' and 'traffic:'")
    done, succeeded, failed, errored, timeout = (int(requests.group(i)) for i in (3, 4, 5, 6, 7))
    seconds = float(finished.group(1)) * _UNITS[finished.group(2)]
    result = LoadResult(
        requests=succeeded,
        connections=None,
        body_bytes=int(traffic.group(3)),
        duration_s=seconds,
        errors={"status": failed - errored, "reset": errored - timeout, "timeout": timeout},
        latency_how="h2load, from sending the request",
    )
    times = re.search(rf"time for request:\s+{_TIME}\s+{_TIME}\s+{_TIME}", text)
    if times:
        result.latency_s = {"mean": float(times.group(5)) * _UNITS[times.group(6)]}
    if done == 0:
        result.unavailable["latency"] = "because h2load finished no request"
    for missing in ("latency_p50", "latency_p99"):
        result.unavailable[missing] = "because h2load prints minimum, maximum and mean only"
    return result


DRIVER = H2load()

# SPDX-License-Identifier: Apache-2.0
"""weighttp, the thesis' generator: counts requests, not seconds, so the warm-up says how many fill the phase."""

from __future__ import annotations

import re

from stackrig.drivers.base import Command, Load, LoadResult, ParseError, PhaseName, merge, share

_WARMUP_REQUESTS = 4000  # per process; its rate decides the measured phase's count


class Weighttp:
    name = "weighttp"
    warms_up_itself = False

    def refuses(self, load: Load) -> str | None:
        if load.wire != "kernel":
            return f"weighttp uses kernel sockets; it cannot reach the wire {load.wire}"
        if len(load.paths) > 1:
            return "weighttp asks for one URL"
        return None

    def commands(self, load: Load, phase: PhaseName, before: LoadResult | None) -> list[Command]:
        commands = []
        for index, target in enumerate(load.targets):
            connections = share(load.whole("connections", 64), len(load.targets), index)
            count = _WARMUP_REQUESTS
            if phase == "measure" and before is not None and before.duration_s > 0:
                rate = before.requests / before.duration_s / len(load.targets)
                count = max(connections, int(rate * load.duration_s))
            threads = min(len(load.cores), connections)
            keep = [] if load.closes else ["-k"]
            argv = [
                load.program,
                "-n",
                str(max(count, connections)),
                "-c",
                str(connections),
                "-t",
                str(threads),
                *keep,
            ]
            commands.append(Command(f"weighttp-{index}", [*argv, f"http://{target}{load.paths[0]}"]))
        return commands

    def parse(self, outputs: dict[str, str], load: Load) -> LoadResult:
        return merge([_parse(name, text, load) for name, text in sorted(outputs.items())])

    def version_command(self, program: str) -> list[str]:
        return [program, "-v"]


def _parse(name: str, text: str, load: Load) -> LoadResult:
    finished = re.search(r"finished in (\d+) sec, (\d+) millisec and (\d+) microsec", text)
    requests = re.search(
        r"requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored",
        text,
    )
    traffic = re.search(r"traffic: (\d+) bytes total, (\d+) bytes http, (\d+) bytes data", text)
    if not (finished and requests and traffic):
        raise ParseError(f"{name}: expected weighttp's lines 'finished in', 'requests:' and 'traffic:'")
    succeeded, failed, errored = (int(requests.group(i)) for i in (4, 5, 6))
    return LoadResult(
        requests=succeeded,
        connections=succeeded if load.closes else None,
        body_bytes=int(traffic.group(3)),
        duration_s=int(finished.group(1)) + int(finished.group(2)) / 1e3 + int(finished.group(3)) / 1e6,
        errors={"status": failed, "reset": errored},
        unavailable={"latency": "because weighttp measures none"},
    )


DRIVER = Weighttp()

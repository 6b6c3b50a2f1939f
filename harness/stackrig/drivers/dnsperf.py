# SPDX-License-Identifier: Apache-2.0
"""dnsperf, as it comes from the distribution: a closed loop of queries under way, on kernel sockets. It counts rcodes
and does not look into answers, so it has to be one server's gate that did."""

from __future__ import annotations

import math
import re

from stackrig.drivers.base import Command, Load, LoadResult, ParseError, PhaseName, merge, share

_FIELD = re.compile(r"^\s*([A-Z][A-Za-z ().]+?):\s+(.*)$", re.MULTILINE)
_CODE = re.compile(r"([A-Z]+) (\d+) \(")


class Dnsperf:
    name = "dnsperf"
    warms_up_itself = False

    def refuses(self, load: Load) -> str | None:
        if load.wire != "kernel":
            return f"dnsperf uses kernel sockets; it cannot reach the wire {load.wire}"
        return None

    def commands(self, load: Load, phase: PhaseName, before: LoadResult | None) -> list[Command]:
        seconds = load.warmup_s if phase == "warmup" else load.duration_s
        commands = []
        for index, target in enumerate(load.targets):
            address, _, port = target.rpartition(":")
            outstanding = share(load.whole("outstanding", 512), len(load.targets), index)
            argv = [
                load.program,
                *("-s", address, "-p", port, "-d", load.queries),
                *("-l", str(max(1, math.ceil(seconds)))),  # whole seconds only
                *("-q", str(outstanding), "-c", str(min(load.whole("clients", 16), outstanding))),
                *("-T", str(len(load.cores))),
                *("-t", f"{load.whole('timeout_ms', 1000) / 1000:g}"),
            ]
            argv += ["-e"] if load.parameters.get("edns") else []
            argv += ["-Q", load.text("rate")] if load.parameters.get("rate") else []
            commands.append(Command(f"dnsperf-{index}", argv))
        return commands

    def parse(self, outputs: dict[str, str], load: Load) -> LoadResult:
        whole = merge([_parse(name, text) for name, text in sorted(outputs.items())])
        rate = load.parameters.get("rate")
        whole.offered_rate = float(rate) if rate else None
        return whole

    def version_command(self, program: str) -> list[str]:
        return [program, "-h"]


def _parse(name: str, text: str) -> LoadResult:
    found = dict(_FIELD.findall(text.partition("Statistics:")[2]))
    try:
        sent = int(found["Queries sent"])
        completed = int(found["Queries completed"].split()[0])
        lost = int(found["Queries lost"].split()[0])
        seconds = float(found["Run time (s)"])
        codes = {code: int(count) for code, count in _CODE.findall(found["Response codes"])}
        answer_bytes = int(found["Average packet size"].split("response ")[1])
        mean = float(found["Average Latency (s)"].split()[0])
    except (KeyError, ValueError, IndexError) as error:
        raise ParseError(f"{name}: dnsperf's statistics are not as expected: {error!r}") from None
    good = codes.get("NOERROR", 0)
    # What was sent in the last moment and not waited for is neither lost nor answered.
    return LoadResult(
        requests=good,
        connections=None,
        body_bytes=good * answer_bytes,
        duration_s=seconds,
        errors={"timeout": lost, "status": completed - good},
        sent=sent,
        latency_s={"mean": mean},
        latency_how="dnsperf, from sending the query",
        unavailable={"latency": "because dnsperf prints a mean and no percentiles"},
    )


DRIVER = Dnsperf()

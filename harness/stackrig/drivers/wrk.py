# SPDX-License-Identifier: Apache-2.0
"""wrk, as it comes from the distribution: one process per NIC; a Lua script prints its counts as JSON."""

from __future__ import annotations

import json
import math

from stackrig.drivers.base import Command, Load, LoadResult, ParseError, PhaseName, merge, percentiles, share

_MARK = "STACKRIG "

# `done` runs once, after the run. latency(i) gives the i-th distinct latency in us and how often it was seen.
_DONE = """
function done(summary, latency, requests)
  io.write('STACKRIG {"duration_us":', summary.duration, ',"requests":', summary.requests,
    ',"bytes":', string.format("%.0f", summary.bytes), ',"errors":{"connect":', summary.errors.connect,
    ',"read":', summary.errors.read, ',"write":', summary.errors.write,
    ',"status":', summary.errors.status, ',"timeout":', summary.errors.timeout, '},"latency_us":[')
  for i = 1, #latency do
    local value, count = latency(i)
    if i > 1 then io.write(',') end
    io.write('[', string.format("%.0f", value), ',', string.format("%.0f", count), ']')
  end
  io.write(']}\\n')
end
"""


class Wrk:
    name = "wrk"
    warms_up_itself = False

    def refuses(self, load: Load) -> str | None:
        return (
            None
            if load.wire == "kernel"
            else f"wrk uses kernel sockets; it cannot reach the wire {load.wire}"
        )

    def commands(self, load: Load, phase: PhaseName, before: LoadResult | None) -> list[Command]:
        seconds = load.warmup_s if phase == "warmup" else load.duration_s
        script = f"{load.folder}/wrk.lua"
        files = {script: _script(load)}
        commands = []
        for index, target in enumerate(load.targets):
            connections = share(load.whole("connections", 64), len(load.targets), index)
            threads = min(len(load.cores), connections)
            timeout = max(1, round(load.whole("timeout_ms", 5000) / 1000))
            argv = [
                load.program,
                f"-t{threads}",
                f"-c{connections}",
                f"-d{max(1, math.ceil(seconds))}s",  # whole seconds only
                "--timeout",
                f"{timeout}s",
                "--latency",
                "-s",
                script,
                f"http://{target}{load.paths[0]}",
            ]
            commands.append(Command(f"wrk-{index}", argv, files))
        return commands

    def parse(self, outputs: dict[str, str], load: Load) -> LoadResult:
        return merge([_parse(name, text, load) for name, text in sorted(outputs.items())])

    def version_command(self, program: str) -> list[str]:
        return [program, "--version"]


def _script(load: Load) -> str:
    lines = []
    if load.closes:
        lines.append('wrk.headers["Connection"] = "close"')
    if len(load.paths) > 1:
        listed = ",".join(json.dumps(path) for path in load.paths)
        lines += [
            f"local paths = {{{listed}}}",
            "local requests = {}",
            "function init(args)",
            f"  math.randomseed({load.seed})",
            '  for i, path in ipairs(paths) do requests[i] = wrk.format("GET", path) end',
            "end",
            "function request() return requests[math.random(#requests)] end",
        ]
    return "\n".join(lines) + _DONE


def _parse(name: str, text: str, load: Load) -> LoadResult:
    line = next((line for line in text.splitlines() if line.startswith(_MARK)), None)
    if line is None:
        raise ParseError(f"{name}: no line that begins with {_MARK.strip()}: wrk did not come to its end")
    try:
        said = json.loads(line.removeprefix(_MARK))
        requests = int(said["requests"])
        errors = {kind: int(count) for kind, count in said["errors"].items()}
        histogram = [(int(us) * 1000, int(count)) for us, count in said["latency_us"]]
        duration = said["duration_us"] / 1e6
    except (ValueError, KeyError, TypeError) as error:
        raise ParseError(f"{name}: wrk's summary is not as expected: {error}") from None
    good = requests - errors["status"]
    if load.closes:
        # An answer that ends with the connection's end is no read error; wrk counts it as one at times.
        errors["read"] = 0 if errors["read"] <= requests else errors["read"]
    if load.file_size is not None:
        body: int | None = good * load.file_size
    else:
        body = max(0, int(said["bytes"]) - requests * load.header_bytes)
    return LoadResult(
        requests=requests,
        connections=requests if load.closes else None,
        body_bytes=body,
        duration_s=duration,
        errors=errors,
        latency_s=percentiles(histogram),
        latency_how="wrk, from sending the request",
        histogram=histogram,
    )


DRIVER = Wrk()

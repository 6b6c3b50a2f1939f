# SPDX-License-Identifier: Apache-2.0
"""kxdpgun of Knot DNS: queries by XDP at a rate, whether or not they are answered. It counts answers and rcodes.

What is not answered is no error where more is offered than any server takes: the rate of answers is what counts.
Its XDP program stays on the interface when it ends and slows all traffic there: it is taken off after every run.
"""

from __future__ import annotations

import math
import re

from stackrig.drivers.base import Command, Load, LoadResult, ParseError, PhaseName

_SENT = re.compile(r"^total queries:\s+(\d+) \((\d+) pps\)", re.MULTILINE)
_ANSWERED = re.compile(r"^total replies:\s+(\d+) \((\d+) pps\)", re.MULTILINE)
_CODE = re.compile(r"^responded ([A-Z]+):\s+(\d+)", re.MULTILINE)
_BYTES = re.compile(r"^average DNS reply size:\s+(\d+) B", re.MULTILINE)
_SECONDS = re.compile(r"^duration:\s+([\d.]+) s", re.MULTILINE)


class Kxdpgun:
    name = "kxdpgun"
    warms_up_itself = False

    def refuses(self, load: Load) -> str | None:
        if load.wire != "kernel" or not load.interfaces:
            return f"kxdpgun needs a Linux interface; it cannot reach the wire {load.wire}"
        if len(load.interfaces) > 1:
            return "kxdpgun uses one interface, and there are several NICs"
        return None

    def commands(self, load: Load, phase: PhaseName, before: LoadResult | None) -> list[Command]:
        seconds = load.warmup_s if phase == "warmup" else load.duration_s
        address, _, port = load.targets[0].rpartition(":")
        interface = load.interfaces[0]
        argv = [
            load.program,
            *("-t", str(max(1, math.ceil(seconds)))),  # whole seconds only
            *("-Q", str(load.whole("rate", 1_000_000)), "-b", str(load.whole("client_batch", 32))),
            *("-F", str(load.cores[0]), "-p", port, "-i", load.queries, "-I", interface, address),
        ]
        off = ["ip", "link", "set", "dev", interface, "xdp", "off"]
        sent = f"/sys/class/net/{interface}/statistics/tx_packets"
        return [Command("kxdpgun", argv, began_when=sent, clean_up=off)]

    def parse(self, outputs: dict[str, str], load: Load) -> LoadResult:
        text = outputs["kxdpgun"]
        parts = {
            "total queries": _SENT.search(text),
            "total replies": _ANSWERED.search(text),
            "average DNS reply size": _BYTES.search(text),
            "duration": _SECONDS.search(text),
        }
        if missing := [what for what, match in parts.items() if match is None]:
            raise ParseError(f"kxdpgun printed no line with {missing[0]}: it did not come to its end")
        sent, answered, size, seconds = (float(match[1]) for match in parts.values() if match)
        codes = {code: int(count) for code, count in _CODE.findall(text)}
        good = codes.get("NOERROR", 0)
        return LoadResult(
            requests=good,
            connections=None,
            body_bytes=int(good * size),
            duration_s=seconds,
            errors={"status": int(answered) - good},
            offered_rate=sent / seconds,
            sent=int(sent),
            unavailable={"latency": "because kxdpgun does not measure it"},
        )

    def version_command(self, program: str) -> list[str]:
        return [program, "--version"]


DRIVER = Kxdpgun()

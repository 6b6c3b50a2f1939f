# SPDX-License-Identifier: Apache-2.0
"""The gate of servers that clients bring all the bytes to: scripts over kernel sockets of the clients' host, and
what must have come where (stream_echo.py, stream_forward.py). Nothing is timed before a server has passed.

A script never fails a server for being slow within seconds, and none passes that answers before it should.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from stackrig.gate.report import Report
from stackrig.gateway.host import Host

PATIENCE_S = 3.0  # how long something that must come may not come
LONGEST_S = 300.0  # for a whole script
ENOUGH = 4  # cases that found something: the rest is not asked, for each may wait for what never comes
OVER = ("closed", "reset")  # a connection that the server has ended, whichever way

Step = list[Any]


@dataclass(frozen=True)
class Got:
    """What came on one connection, and how it stood in the end."""

    data: bytes = b""
    end: str = "never opened"
    notes: list[int] = field(default_factory=list)


Heard = dict[str, Got]


@dataclass(frozen=True)
class Case:
    """A script and what is wrong with what came of it. `serial`: it can be put to a server that takes one
    connection after the other."""

    name: str
    steps: list[Step]
    wrong: Callable[[Heard], Iterable[str]]
    serial: bool = True


def ask(host: Host, cases: list[Case], serial: bool, report: Report) -> None:
    """Puts the cases to a server, one after the other. `serial`: it takes one connection after the other."""
    bad = 0
    for case in cases:
        if serial and not case.serial:
            report.skipped.append(f"{case.name}: this one serves a connection after the other")
            continue
        if bad >= ENOUGH:
            report.skipped.append(f"{case.name}: not asked any more")
            continue
        said = host.call("play", timeout=LONGEST_S, steps=case.steps, patience=PATIENCE_S)
        found = judge(case, said)
        report.checked += 1
        report.findings += [f"{case.name}: {one}" for one in found]
        bad += bool(found)


def judge(case: Case, said: dict[str, Any]) -> list[str]:
    heard = {name: Got(bytes(one["data"]), one["end"], list(one["notes"])) for name, one in said.items()}
    return list(case.wrong(_Everyone(heard)))


class _Everyone(dict[str, Got]):
    """One that never was has said nothing."""

    def __missing__(self, name: str) -> Got:
        return Got()


def noise(size: int, seed: str) -> bytes:
    """Bytes of no pattern, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def differs(got: bytes, wanted: bytes) -> str | None:
    """What tells two streams apart, in words."""
    if got == wanted:
        return None
    same = next(
        (at for at, (a, b) in enumerate(zip(got, wanted, strict=False)) if a != b), min(len(got), len(wanted))
    )
    if same == len(got):
        return f"expected {len(wanted)} bytes, got the first {len(got)}"
    if same == len(wanted):
        return f"expected {len(wanted)} bytes, got {len(got) - len(wanted)} more"
    return f"expected {len(wanted)} bytes, got {len(got)}, wrong from byte {same} on"


def ends(name: str, got: Got, *wanted: str) -> Iterable[str]:
    if got.end not in wanted:
        yield f"{name}: expected the connection {' or '.join(wanted)}, found it {got.end}"

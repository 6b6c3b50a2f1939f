# SPDX-License-Identifier: Apache-2.0
"""Method `memcpy`: goodput over what one core copies, each trial beside a measurement of the copy,
now before it and now after it."""

from __future__ import annotations

import json

from stackrig.bench import trials
from stackrig.bench.base import Measured, Tell, attempt, ratio
from stackrig.errors import RunError
from stackrig.model.bar import Bar
from stackrig.model.trial import Point, Trial
from stackrig.session import Session

# The C library's memcpy on one core: blocks of the file's size, from one place to another, as often as fits.
_COPY = """
import ctypes, json, sys, time
size, seconds = int(sys.argv[1]), float(sys.argv[2])
source = ctypes.create_string_buffer(b"x" * size, size)
target = ctypes.create_string_buffer(size)
copy = ctypes.CDLL(None).memcpy
copy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
copy.restype = ctypes.c_void_p
a, b = ctypes.addressof(target), ctypes.addressof(source)
copied, began = 0, time.perf_counter()
while (now := time.perf_counter()) - began < seconds:
    for _ in range(8):
        copy(a, b, size)
    copied += 8 * size
print(json.dumps({"bits_per_s": 8 * copied / (now - began)}))
"""


def copy_rate(session: Session, size: int, seconds: float, wire: str) -> float:
    """Bits per second that one server core's memcpy moves, scheduled and accounted for as the server is that
    it stands beside (`wire`: that server's)."""
    side = session.testbed.server
    folder = session.folder()
    out, log = str(folder / "copy.json"), str(folder / "copy.log")
    argv = ["python3", "-c", _COPY, str(size), str(seconds)]
    side.host.call(
        "spawn",
        name="copy",
        argv=argv,
        stdout=out,
        stderr=log,
        cpus=side.cores[:1],
        cgroups=side.join(),
        **session.testbed.scheduling(wire),
    )
    try:
        code = side.host.call("wait", name="copy", seconds=seconds + 15)
    finally:
        side.host.call("stop", name="copy", grace=1.0)
    if code != 0:
        told = "did not end in time" if code is None else f"ended with exit code {code}"
        raise RunError(f"the copy beside the trials {told}", side.host.call("tail", path=log))
    return float(json.loads(side.host.call("get", path=out))["bits_per_s"])


def measure(bar: Bar, session: Session, tell: Tell) -> Measured:
    measured = Measured([], "memcpy, one core", 0)
    for settings in bar.points:
        point = trials.point(bar, "candidate", settings)
        size = int(point.settings["file_size"])
        ours: list[float] = []
        copies: list[float] = []
        good: list[Trial] = []

        def copy(size: int = size) -> float:
            return copy_rate(session, size, bar.duration_s / 2, bar.wire)

        def serve(point: Point = point) -> Trial:
            (record,), folder = trials.run(bar, [[point]], session, tell, 1)
            measured.folder = folder.path
            return record

        for trial in range(bar.trials):
            what = f"copy {trial + 1}"
            first = attempt(what, session, measured, tell, copy) if trial % 2 == 0 else None
            record = serve()
            copied = first if trial % 2 == 0 else attempt(what, session, measured, tell, copy)
            if record.status != "ok" or bar.metric not in record.metrics:
                measured.failures.append(f"{record.id}: {record.reason}; again: {record.rerun}")
            elif copied is not None:
                good.append(record)
                ours.append(record.metrics[bar.metric].value)
                copies.append(copied)
        if why := trials.cannot_bear(good):
            measured.failures.append(f"{trials.told(settings)}: {why}")
        elif ours:
            notes = trials.notes(good)
            measured.outcomes.append(ratio(trials.told(settings), ours, copies, "bit/s", notes))
    measured.trials = trials.fewest(measured)
    return measured

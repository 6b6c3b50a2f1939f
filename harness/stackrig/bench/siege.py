# SPDX-License-Identifier: Apache-2.0
"""Method `siege`: what the candidate's real clients keep of a metric at each of the bar's points, over the same without
what the points add (`options: {calm: {...}}`), trials interleaved.

Where the client's core was full, the flood has left the wire no room: its share says nothing of the server, and the
point is told as not measured. `memory_growth`: bytes that the server's memory may grow by in a trial.
"""

from __future__ import annotations

from statistics import median

from stackrig.bench import trials
from stackrig.bench.base import Measured, Tell, ratio
from stackrig.model.bar import Bar
from stackrig.model.trial import Point, Trial
from stackrig.session import Session


def measure(bar: Bar, session: Session, tell: Tell) -> Measured:
    calm = trials.point(bar, "candidate", dict(bar.options["calm"]))
    besieged = [trials.point(bar, "candidate", settings) for settings in bar.points]
    records, folder = trials.run(bar, [[calm, *besieged]], session, tell)
    measured = Measured([], f"{calm.label} in peace", 0, folder.path)
    measured.failures = [f"{r.id}: {r.reason}; again: {r.rerun}" for r in records if r.status != "ok"]
    for settings, point in zip(bar.points, besieged, strict=True):
        _judge(bar, trials.told(settings), records, calm, point, measured)
    measured.trials = trials.fewest(measured)
    return measured


def _judge(bar: Bar, told: str, records: list[Trial], calm: Point, point: Point, measured: Measured) -> None:
    before, beside = (trials.usable(records, one, bar.metric) for one in (calm, point))
    if not (both := trials.in_all(bar, [before, beside], told, measured)):
        return
    trial_pairs = [(beside[repetition], before[repetition]) for repetition in both]
    if why := no_room([one for one, _ in trial_pairs]):
        measured.failures.append(f"{told}: {why}")
        return
    if why := grown([one for one, _ in trial_pairs], bar.options.get("memory_growth")):
        measured.failures.append(f"{told}: {why}")
        return
    values = [[trial.metrics[bar.metric].value for trial in side] for side in zip(*trial_pairs, strict=True)]
    unit = trial_pairs[0][0].metrics[bar.metric].unit
    measured.outcomes.append(ratio(told, values[0], values[1], unit, _notes([one for one, _ in trial_pairs])))


def no_room(besieged: list[Trial]) -> str:
    """Why these trials say nothing of the server; empty where they do."""
    full = trials.most(besieged, "client_saturated", True)
    return f"the flood left the wire no room in {full[0]}: {full[1]}" if full else ""


def grown(besieged: list[Trial], most: int | None) -> str:
    """What is wrong with the server's memory, or nothing."""
    values = [
        t.metrics["server_memory_growth"].value for t in besieged if "server_memory_growth" in t.metrics
    ]
    if most is None:
        return ""
    if not values:
        return "the server's memory was not measured"
    if median(values) <= most:
        return ""
    return f"the server's memory grew by {median(values) / 1e6:.1f} MB while measured; {most / 1e6:.1f} MB is allowed"


def _notes(besieged: list[Trial]) -> list[str]:
    told = []
    for name, words in (("flood_segments_rate", "{:,.0f} segments/s of the flood"),
                        ("flood_connections_rate", "{:,.0f} connections/s of it"),
                        ("server_memory_growth", "the server's memory grew by {:,.0f} B"),
                        ("client_busy", "client's core {:.0%} busy")):  # fmt: skip
        values = [t.metrics[name].value for t in besieged if name in t.metrics]
        told += [words.format(median(values))] if values else []
    return told

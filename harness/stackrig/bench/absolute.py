# SPDX-License-Identifier: Apache-2.0
"""Method `absolute`: a metric of the candidate alone, at each point."""

from __future__ import annotations

from stackrig.bench import trials
from stackrig.bench.base import Measured, Tell, single
from stackrig.model.bar import Bar
from stackrig.session import Session


def measure(bar: Bar, session: Session, tell: Tell) -> Measured:
    rows = [[trials.point(bar, "candidate", settings)] for settings in bar.points]
    records, folder = trials.run(bar, rows, session, tell)
    measured = Measured([], None, 0, folder.path)
    measured.failures = [f"{r.id}: {r.reason}; again: {r.rerun}" for r in records if r.status != "ok"]
    for settings, (point,) in zip(bar.points, rows, strict=True):
        good = list(trials.usable(records, point, bar.metric).values())
        if not good:
            measured.failures.append(f"{trials.told(settings)}: no valid trial")
            continue
        if why := trials.cannot_bear(good):
            measured.failures.append(f"{trials.told(settings)}: {why}")
            continue
        busy = [r.metrics["client_busy"].value for r in good if "client_busy" in r.metrics]
        server = [r.metrics["server_busy_percent"].value for r in good if "server_busy_percent" in r.metrics]
        notes = [f"client's core busy {min(busy):.0%} to {max(busy):.0%}"] if busy else []
        notes += [f"server's loop busy {min(server):.0f} to {max(server):.0f} %"] if server else []
        notes += trials.notes(good)
        values = [r.metrics[bar.metric].value for r in good]
        measured.outcomes.append(single(trials.told(settings), values, bar.unit, notes))
    measured.trials = trials.fewest(measured)
    return measured

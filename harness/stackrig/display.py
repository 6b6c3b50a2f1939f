# SPDX-License-Identifier: Apache-2.0
"""Progress of a run: a bar with the time left in a terminal, a line per trial elsewhere; failures at once."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from stackrig.model.trial import Trial
from stackrig.plan import Plan, Planned


class Display:
    def __init__(self, plan: Plan, already: int = 0) -> None:
        self.console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]} left", markup=False),
            console=self.console,
            disable=not self.console.is_terminal,
            refresh_per_second=0.5,  # it runs beside the measurement
        )
        self.total = len(plan.trials)
        self.count = already
        self.estimate = plan.seconds / max(1, self.total)
        self.began = time.monotonic()
        self.here = 0
        self.task = self.bar.add_task(plan.artifact, total=self.total, completed=already, left=self._left())

    def _left(self) -> str:
        from stackrig.cli.output import seconds

        each = (time.monotonic() - self.began) / self.here if self.here > 1 else self.estimate
        return seconds(each * (self.total - self.count))

    def __enter__(self) -> Display:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.bar.stop()

    def done(self, planned: Planned, record: Trial) -> None:
        self.count += 1
        self.here += 1
        self.bar.update(self.task, completed=self.count, left=self._left())
        if record.status != "ok":
            self.console.print(f"{record.id}: {record.status}: {record.reason}")
            if record.log_excerpt:
                self.console.print("\n".join(f"    {line}" for line in record.log_excerpt.splitlines()[-6:]))
            self.console.print(f"  again: {record.rerun}")
        elif not self.console.is_terminal:
            rate = record.metrics["requests_rate"].value
            goodput = record.metrics["goodput"].value if "goodput" in record.metrics else 0.0
            notes = [
                name for name, check in (record.validity or []) if check.value is (name == "client_saturated")
            ]
            told = f"  [{', '.join(notes)}]" if notes else ""
            self.console.print(
                f"[{self.count}/{self.total}] {record.id}: {rate:,.0f} requests/s, {goodput / 1e9:.3f} Gb/s{told}"
            )

# SPDX-License-Identifier: Apache-2.0
"""Running a load generator: its program, its processes, its raw output."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

from stackrig import paths
from stackrig.drivers import base
from stackrig.drivers.base import Command, Driver, Load, LoadResult, PhaseName
from stackrig.errors import RunError, SetupError
from stackrig.model.workload import Generator
from stackrig.testbed.local import LocalTestbed

START_TIMEOUT_S = 15.0
BEGAN_PACKETS = 1000  # more than anything but the load sends in a moment
LATE_S = 20.0  # beyond its own duration


class LoadError(RunError):
    """A load generator that did not do its work; `excerpt` is the end of what it printed."""


def program_of(generator: Generator) -> str:
    if generator.build:
        path = paths.build_dir() / "workloads" / generator.name / generator.program
        if not path.exists():
            raise SetupError(
                f"{generator.name}: its program {paths.shown(path)} is not built; run `make build`, or set "
                "STACKRIG_BUILD to the build folder"
            )
        return str(path)
    found = shutil.which(generator.program)
    if found is None:
        how = (
            f"install {', '.join(generator.packages)}"
            if generator.packages
            else "Debian has no package of it"
        )
        raise SetupError(f"{generator.name}: unavailable, because {generator.program} is not on PATH ({how})")
    return found


@dataclass
class Raw:
    """What the processes of one phase left."""

    outputs: dict[str, str]
    logs: dict[str, str]


class Generation:
    """One phase of load under way: started, to be waited for."""

    def __init__(self, testbed: LocalTestbed, driver: Driver, load: Load, phase: PhaseName) -> None:
        self.testbed = testbed
        self.driver = driver
        self.load = load
        self.phase = phase
        self.commands: list[Command] = []

    def start(self, before: LoadResult | None = None) -> None:
        """Returns when the load runs (a generator that can say so has said so)."""
        side = self.testbed.client
        for command in self.driver.commands(self.load, self.phase, before):
            for path, text in command.files.items():
                side.host.call("put", path=path, data=text)
            side.host.call(
                "spawn",
                name=command.name,
                argv=[*self.testbed.client_prefix(self.load.wire), *command.argv],
                stdout=self._stdout(command),
                stderr=self._log(command),
                cpus=self.load.cores,
                cgroups=side.join(),
                **self.testbed.scheduling(),
                ready_word=command.ready_word,
                cwd=self.load.folder,
            )
            self.commands.append(command)
        for command in self.commands:
            if command.ready_word is not None or command.began_when is not None:
                state = self._wait(command)
                if state != "ready":
                    excerpt = self._excerpt(command)
                    self.abandon()
                    raise LoadError(f"{command.name} did not begin: {state}", excerpt)

    def _wait(self, command: Command) -> str:
        host = self.testbed.client.host
        asked: dict[str, Any] = {"name": command.name, "seconds": START_TIMEOUT_S}
        if command.began_when is None:
            return str(host.call("wait_ready", **asked))
        return str(host.call("wait_counter", path=command.began_when, rise=BEGAN_PACKETS, **asked))

    def finish(self, seconds: float) -> Raw:
        """Waits for the end, at most `seconds` and a reserve, and gives what was printed."""
        side = self.testbed.client
        raw = Raw({}, {})
        try:
            for command in self.commands:
                code = side.host.call(
                    "wait", timeout=seconds + LATE_S + 30, name=command.name, seconds=seconds + LATE_S
                )
                if code is None:
                    raise LoadError(
                        f"{command.name} did not end within {LATE_S:g} s of its time", self._excerpt(command)
                    )
                if code != 0:
                    raise LoadError(f"{command.name} ended with exit code {code}", self._excerpt(command))
                output = command.output or self._stdout(command)
                raw.outputs[command.name] = side.host.call("get", path=output).decode(errors="replace")
                raw.logs[command.name] = side.host.call("tail", path=self._log(command))
        finally:
            self.abandon()
        return raw

    def abandon(self) -> None:
        """Ends what still runs of it; may be called again."""
        host = self.testbed.client.host
        while self.commands:
            command = self.commands.pop()
            host.call("stop", name=command.name, grace=1.0)
            if command.clean_up:
                host.call("run", argv=command.clean_up)

    def _stdout(self, command: Command) -> str:
        return f"{self.load.folder}/{self.phase}-{command.name}.out"

    def _log(self, command: Command) -> str:
        return f"{self.load.folder}/{self.phase}-{command.name}.err"

    def _excerpt(self, command: Command) -> str:
        host = self.testbed.client.host
        texts = [
            host.call("tail", path=path, size=1000) for path in (self._log(command), self._stdout(command))
        ]
        return "\n".join(text.strip() for text in texts if text.strip())


def parse(driver: Driver, raw: Raw, load: Load) -> LoadResult:
    try:
        return driver.parse(raw.outputs, load)
    except base.ParseError as error:
        told = "\n".join(f"{name}: {text[-500:]}" for name, text in raw.outputs.items())
        raise LoadError(str(error), told) from None

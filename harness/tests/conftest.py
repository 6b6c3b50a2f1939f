# SPDX-License-Identifier: Apache-2.0
"""Shared by the harness' tests: a small project of its own, results of its own, skips that say why."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stackrig import paths, provenance, registry

REPOSITORY = Path(__file__).resolve().parents[2]

TINY = """\
schema: 1
id: tiny
title: A small experiment
paper: none
caption: For tests.
experiment:
  systems: [{systems}]
  workload: {workload}
  load: wrk
  wire: kernel
  grid: {{nics: [1], file_size: {sizes}}}
  fixed: {{connections: 4}}
  profiles:
    smoke: {{repetitions: {repetitions}, warmup_s: 0.1, duration_s: 0.3}}
panels: [{{id: a, title: Goodput, x: file_size, y: {metric}}}]
"""


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing remembered from the test before; records go to the test's own folder."""
    monkeypatch.setenv("STACKRIG_RESULTS", str(tmp_path / "results"))
    _forget()
    yield
    _forget()


def _forget() -> None:
    paths.root.cache_clear()
    registry.load_system.cache_clear()
    registry.load_generator.cache_clear()
    registry.load_workload.cache_clear()
    registry.load_artifact.cache_clear()
    provenance.commit.cache_clear()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with this one's baselines, workloads and inventory, and folders to add to."""
    root = tmp_path / "project"
    (root / "analysis" / "figures" / "none").mkdir(parents=True)
    (root / "systems").mkdir()
    (root / "harness").mkdir()
    for name in ("baselines", "workloads", "inventory"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("*.cc", "*.h"))
    monkeypatch.setenv("STACKRIG_ROOT", str(root))
    return root


@pytest.fixture
def artifact(project: Path) -> Callable[..., None]:
    """Writes the project's artifact `tiny`."""

    def write(
        systems: str = "nginx", sizes: str = "[64B]", repetitions: int = 1, metric: str = "goodput",
        workload: str = "web-persistent",
    ) -> None:  # fmt: skip
        text = TINY.format(
            systems=systems, sizes=sizes, repetitions=repetitions, metric=metric, workload=workload
        )
        (project / "analysis" / "figures" / "none" / "tiny.yaml").write_text(text)

    return write


@pytest.fixture
def baseline(project: Path) -> Callable[[str, str], None]:
    """Adds a baseline whose program is a Python script that gets its address, port and root."""

    def add(name: str, script: str) -> None:
        folder = project / "baselines" / name
        folder.mkdir()
        (folder / "server.py").write_text(script)
        (folder / "baseline.yaml").write_text(
            f"""\
schema: 1
name: {name}
kind: baseline
title: For tests
protocols: [http]
wires: [kernel]
command: [{sys.executable}, {folder / "server.py"}, "{{{{ addresses[0] }}}}", "{{{{ tcp_port }}}}", "{{{{ root }}}}"]
default_variant: plain
variants: {{plain: {{}}}}
"""
        )

    return add


@pytest.fixture
def root_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """For tests that make namespaces. Records of owners go to the test's own folder."""
    if os.geteuid() != 0:
        pytest.skip("needs root: makes network namespaces")
    for tool in ("ip", "ethtool", "nginx", "wrk"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool} on PATH")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores: one for the server, one for the client")
    records = tmp_path / "run"
    monkeypatch.setenv("STACKRIG_RUN_DIR", str(records))
    return records


Cli = Callable[..., subprocess.CompletedProcess[str]]


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "stackrig.cli.main", *words]


@pytest.fixture
def cli() -> Cli:
    """The command as a person runs it, to its end."""

    def run(*words: str, timeout: float = 280) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command(*words), capture_output=True, text=True, timeout=timeout, check=False)

    return run


def _heed_interrupts() -> None:
    """As on a terminal: what a shell starts in the background ignores SIGINT, and so do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """The command as a person runs it, in a process group of its own, to be interrupted."""
    started: list[subprocess.Popen[str]] = []

    def run(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True, preexec_fn=_heed_interrupts,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()

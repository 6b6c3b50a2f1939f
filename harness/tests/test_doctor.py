# SPDX-License-Identifier: Apache-2.0
"""What the doctor says is what a run would find."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stackrig import doctor


def test_a_program_that_is_not_built_reaches_the_artifacts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STACKRIG_BUILD", str(tmp_path))
    found = [doctor.Finding("AF_XDP", True, "")]
    found += [doctor._program(kind, name) for kind, name in doctor._programs()]
    told = doctor.artifacts(found)
    assert told["figure-3.6"].startswith("cannot be run: system sandstorm: its program")
    assert "load generator rigload" in told["figure-2.7"]
    assert told["table-3.1"] == "checked against the sources"


def refusing(said: str) -> Any:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", f"{said}\n")

    return run


def test_namespaces_are_tried_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        assert doctor._namespaces().ok
    monkeypatch.setattr(subprocess, "run", refusing("unshare: unshare failed: Operation not permitted"))
    refused = doctor._namespaces()
    assert (refused.ok, refused.found) == (False, "unshare: unshare failed: Operation not permitted")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts tracefs in a namespace of its own")
def test_tracefs_that_a_run_can_mount_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    exists = Path.exists
    monkeypatch.setattr(
        Path, "exists", lambda path: "tracing" not in str(path) and exists(path)  # as if nothing were mounted
    )  # fmt: skip
    if "tracefs" not in Path("/proc/filesystems").read_text():
        pytest.skip("this kernel has no tracefs")
    before = Path("/proc/self/mounts").read_text()
    found = doctor._tracepoints()
    assert found.ok, found.found
    assert "a run mounts it for itself" in found.found
    assert Path("/proc/self/mounts").read_text() == before

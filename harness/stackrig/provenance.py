# SPDX-License-Identifier: Apache-2.0
"""Where a figure comes from: the commit, the programs that ran, the machine."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from stackrig import paths


def _said(*argv: str, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, cwd=cwd, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout or done.stderr).strip()


@cache
def commit() -> tuple[str, bool]:
    """Commit of the checkout, and whether files that it knows differ from it."""
    name = _said("git", "rev-parse", "HEAD", cwd=paths.root())
    changed = _said("git", "status", "--porcelain", "--untracked-files=no", cwd=paths.root())
    return name or "unknown", bool(changed)


@cache
def compiler() -> str:
    """What the build folder was configured with."""
    cache_file = paths.build_dir() / "CMakeCache.txt"
    if not cache_file.exists():
        return "no build"
    found: dict[str, str] = {}
    for line in cache_file.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals:
            found[name.split(":")[0]] = value
    program = found.get("CMAKE_CXX_COMPILER", "")
    version = _said(program, "--version").splitlines()[:1] if program else []
    parts = [version[0] if version else program, found.get("CMAKE_BUILD_TYPE", "")]
    parts += [f"march={found.get('STACKRIG_MARCH', '')}", f"lto={found.get('STACKRIG_LTO', '')}"]
    return ", ".join(part for part in parts if part)


@cache
def _hash(path: str, stamp: int) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def binary_hash(path: str) -> str:
    return _hash(path, Path(path).stat().st_mtime_ns)


@cache
def tool_version(*command: str) -> str:
    """First line of what a tool says of its own version."""
    lines = _said(*command).splitlines()
    return lines[0].strip() if lines else "unknown"


@cache
def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def host_facts() -> dict[str, Any]:
    memory = next(
        (
            int(line.split()[1])
            for line in Path("/proc/meminfo").read_text().splitlines()
            if line.startswith("MemTotal")
        ),
        0,
    )
    release = Path("/etc/os-release")
    system = (
        next(
            (
                line.partition("=")[2].strip('"')
                for line in release.read_text().splitlines()
                if "PRETTY_NAME" in line
            ),
            "",
        )
        if release.exists()
        else ""
    )
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": memory * 1024,
        "kernel": platform.release(),
        "system": system,
        "python": platform.python_version(),
    }

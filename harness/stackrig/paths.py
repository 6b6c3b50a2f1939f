# SPDX-License-Identifier: Apache-2.0
"""Where things are: the project's root, its build folder, its results."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from stackrig.errors import SetupError

PRESETS = ("release", "relwithdebinfo", "debug")


def _is_root(folder: Path) -> bool:
    return (folder / "systems").is_dir() and (folder / "analysis").is_dir() and (folder / "harness").is_dir()


@cache
def root() -> Path:
    """The checkout: $STACKRIG_ROOT, or the folder above the working directory or above this file."""
    if named := os.environ.get("STACKRIG_ROOT"):
        return Path(named).resolve()
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            if _is_root(folder):
                return folder
    raise SetupError("no stackrig checkout found here; change into it, or set STACKRIG_ROOT to its path")


def results() -> Path:
    """Where records go: $STACKRIG_RESULTS or results/."""
    return Path(os.environ.get("STACKRIG_RESULTS") or root() / "results").resolve()


def build_dir() -> Path:
    """The build whose programs are measured: $STACKRIG_BUILD, or build/release, or another preset's."""
    if named := os.environ.get("STACKRIG_BUILD"):
        return Path(named).resolve()
    for preset in PRESETS:
        if (folder := root() / "build" / preset).is_dir():
            return folder
    return root() / "build" / PRESETS[0]


def shown(path: Path) -> str:
    """`path` as it is best told to a person: relative to the checkout where it lies inside."""
    try:
        return str(path.resolve().relative_to(root()))
    except ValueError:
        return str(path)

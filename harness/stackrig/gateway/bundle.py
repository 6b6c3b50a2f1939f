# SPDX-License-Identifier: Apache-2.0
"""The worker with all its parts as one text, which execnet runs on a host that has nothing of this project."""

from __future__ import annotations

from pathlib import Path

PARTS = ("requests", "programs", "files", "asks", "streams", "kernel")
"""Modules of this folder that the worker is made of, each behind those that it imports."""

_LOADER = """\
import sys, types
for name in ("stackrig", "stackrig.gateway"):
    sys.modules.setdefault(name, types.ModuleType(name))
for name, text in {parts!r}:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
exec(compile({worker!r}, "stackrig.gateway.worker", "exec"))
"""


def source() -> str:
    folder = Path(__file__).parent
    parts = [(f"stackrig.gateway.{name}", (folder / f"{name}.py").read_text()) for name in PARTS]
    return _LOADER.format(parts=parts, worker=(folder / "worker.py").read_text())

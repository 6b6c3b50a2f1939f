# SPDX-License-Identifier: Apache-2.0
"""clang-tidy over a compilation database; a file whose contents, headers and flags were clean before is not
looked at again."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from check.outcome import Outcome

_INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*["<]([^">]+)[">]', re.MULTILINE)
# Flags of g++ that clang does not know, and those that only the optimiser reads.
_NOT_FOR_CLANG = re.compile(r"-f(no-)?fat-lto-objects|-flto(=.*)?|-fsanitize.*|-fno-sanitize.*")


@dataclass(frozen=True)
class Unit:
    """One source file with the command that compiles it."""

    file: Path
    folder: Path
    flags: tuple[str, ...]

    @property
    def fewer_checks(self) -> list[str]:
        """In tests the analyser walks through GoogleTest's macros for most of the time, and speed is no concern."""
        test = self.file.stem.endswith(("_test", "_benchmark"))
        return ["--checks=-clang-analyzer-*,-performance-*"] if test else []

    def include_folders(self) -> list[Path]:
        folders = []
        for flag, following in zip(self.flags, [*self.flags[1:], ""], strict=True):
            if flag in ("-I", "-isystem", "-iquote"):
                folders.append(self.folder / following)
            elif flag.startswith("-I"):
                folders.append(self.folder / flag[2:])
        return folders


def read_units(database: Path, root: Path) -> list[Unit]:
    """The units of a compile_commands.json whose source is ours: in `root`, and not made by the build."""
    units = []
    for entry in json.loads(database.read_text()):
        folder = Path(entry["directory"])
        file = (folder / entry["file"]).resolve()
        if not file.is_relative_to(root) or file.is_relative_to(root / "build"):
            continue
        words = entry.get("arguments") or shlex.split(entry["command"])
        if Path(words[0]).name == "ccache":
            words = words[1:]
        units.append(Unit(file, folder, tuple(_compiler_flags(words[1:], entry["file"]))))
    return units


def _compiler_flags(words: list[str], source: str) -> list[str]:
    flags, skip = ["-Wno-unknown-warning-option"], False
    for word in words:
        if skip or word in ("-o", "-MF", "-MT", "-MQ"):
            skip = not skip
        elif word not in ("-c", "-MD", "-MMD", source) and not _NOT_FOR_CLANG.fullmatch(word):
            flags.append(word)
    return flags


@cache
def _includes(file: Path) -> tuple[bytes, tuple[str, ...]]:
    contents = file.read_bytes()
    names = tuple(name.decode(errors="replace") for name in _INCLUDE.findall(contents))
    return hashlib.sha256(contents).digest(), names


def fingerprint(unit: Unit, root: Path, tool: str) -> str:
    """A hash of all that the answer depends on: tool, checks, flags, the file and our headers beneath it.
    Headers of the system stand for themselves by the tool's and the compiler's version."""
    folders = unit.include_folders()
    seen: set[Path] = set()
    waiting = [unit.file]
    digest = hashlib.sha256()
    digest.update("\0".join([tool, *unit.fewer_checks, *unit.flags]).encode())
    for checks in [folder / ".clang-tidy" for folder in unit.file.parents if folder.is_relative_to(root)]:
        if checks.exists():
            digest.update(checks.read_bytes())
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        contents, names = _includes(file)
        digest.update(contents)
        for name in names:
            found = (folder / name for folder in [file.parent, *folders])
            header = next((path.resolve() for path in found if path.is_file()), None)
            if header is not None and header.is_relative_to(root):
                waiting.append(header)
    return digest.hexdigest()


def _tidy(unit: Unit, program: str) -> str:
    command = [program, "--quiet", *unit.fewer_checks, str(unit.file), "--", *unit.flags]
    done = subprocess.run(command, cwd=unit.folder, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout.strip() or done.stderr.strip()


def run_tidy(databases: list[Path], root: Path, program: str, store: Path) -> Outcome:
    """Every unit once; clean ones leave a mark in `store`, so that the next run passes over them."""
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    store.mkdir(parents=True, exist_ok=True)
    units = {unit.file: unit for base in databases if base.exists() for unit in read_units(base, root)}
    marks = {unit: store / fingerprint(unit, root, version) for unit in units.values()}
    todo = sorted((unit for unit, mark in marks.items() if not mark.exists()), key=lambda unit: unit.file)
    print(f"clang-tidy: {len(todo)} of {len(units)} files changed since they were last clean", flush=True)
    outcome = Outcome(passed=len(units) - len(todo))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for unit, complaint in zip(todo, pool.map(lambda unit: _tidy(unit, program), todo), strict=True):
            name = unit.file.relative_to(root)
            if complaint:
                print(complaint, flush=True)
                outcome.failed.append(f"clang-tidy {name}")
            else:
                marks[unit].touch()
                outcome.passed += 1
    return outcome

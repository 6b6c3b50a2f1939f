# SPDX-License-Identifier: Apache-2.0
"""Records on disk: append-only, never half-written.

A trial's folder is filled under a name that begins with a dot and renamed when it is whole, its files synced
before. A run's own file is replaced as a whole.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from stackrig import paths
from stackrig.errors import UserError, unknown
from stackrig.model.base import Model
from stackrig.model.trial import Run, Trial

UNFINISHED = ".unfinished-"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def new_run_id(profile: str) -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{profile}-{secrets.token_hex(2)}"


def dump(model: Model) -> str:
    return json.dumps(model.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False) + "\n"


def write_whole(path: Path, text: str) -> None:
    """A reader sees the old text or the new one, also after a crash."""
    part = path.with_name(f"{UNFINISHED}{path.name}")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


class RunFolder:
    """results/<artifact>/<run>/"""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trials = path / "trials"

    @classmethod
    def create(cls, run: Run) -> RunFolder:
        folder = cls(paths.results() / run.artifact / run.id)
        folder.trials.mkdir(parents=True)
        folder.save(run)
        return folder

    def save(self, run: Run) -> None:
        write_whole(self.path / "run.json", dump(run))

    def load(self) -> Run:
        return Run.model_validate_json((self.path / "run.json").read_text())

    def done(self) -> dict[int, Path]:
        """Order of a trial → its folder, for those that are recorded."""
        return {
            int(path.name.split("-", 1)[0]): path for path in self.trials.glob("[0-9]*-*") if path.is_dir()
        }

    def unfinished(self, name: str) -> Path:
        """Where a trial's folder is filled."""
        return self.trials / f"{UNFINISHED}{name}"

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A folder to fill; it takes its name if the block ends well and is gone if not."""
        unfinished = self.unfinished(name)
        shutil.rmtree(unfinished, ignore_errors=True)
        (unfinished / "raw").mkdir(parents=True)
        try:
            yield unfinished
            _sync(unfinished)
            unfinished.rename(self.trials / name)
            _sync_folder(self.trials)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def read(self) -> list[Trial]:
        return [
            Trial.model_validate_json((path / "trial.json").read_text())
            for _, path in sorted(self.done().items())
        ]


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def find_run(name: str) -> RunFolder:
    """By its id, or the path to its folder."""
    if (Path(name) / "run.json").exists():
        return RunFolder(Path(name).resolve())
    known = {path.parent.name: path.parent for path in paths.results().glob("*/*/run.json")}
    if name not in known:
        raise unknown("run", name, known)
    return RunFolder(known[name])


def latest_run(artifact: str) -> RunFolder:
    found = sorted((paths.results() / artifact).glob("*/run.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(f"no run of {artifact} yet; `stackrig run {artifact}` makes one")
    return RunFolder(found[-1].parent)

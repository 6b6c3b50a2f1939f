# SPDX-License-Identifier: Apache-2.0
"""One run of an artifact into its figure, data, verdicts and page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackrig import paths, registry
from stackrig.claims import interface as interfaces
from stackrig.claims import papers
from stackrig.claims.interface import Interface
from stackrig.claims.judge import judge
from stackrig.claims.records import RunData, read_run
from stackrig.claims.verdict import Verdict, counts, to_json
from stackrig.errors import UserError
from stackrig.figures import draw, series, tables
from stackrig.model.experiment import Artifact
from stackrig.report import page


@dataclass(frozen=True)
class RenderResult:
    """What was written. As a path (os.PathLike) it is the page."""

    page: Path
    files: tuple[Path, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def counts(self) -> dict[str, int]:
        return counts(list(self.verdicts))

    def __fspath__(self) -> str:
        return str(self.page)


def render(run_dir: Path, out_dir: Path | None = None) -> RenderResult:
    """Draws, tabulates and judges the run. `out_dir`: the folder of the artifact's runs where not given."""
    run_dir = run_dir.resolve()
    out = (out_dir or run_dir.parent).resolve()
    data = read_run(run_dir, registry.load_artifact(_artifact_of(run_dir)))
    drawn, shown = series.plots(data), tables.tables(data)
    verdicts = judge(papers.claims_on(data.artifact), data)
    out.mkdir(parents=True, exist_ok=True)
    files = draw.save(drawn, papers.values_on(data.artifact), out) if drawn else []
    if drawn:
        files.append(_write(out / "data.csv", series.to_csv(data, drawn)))
    if shown:
        files.append(_write(out / "table.csv", tables.to_csv(shown)))
        files.append(_write(out / "table.md", tables.to_markdown(shown)))
    files.append(_write(out / "verdicts.json", _verdicts(data.artifact, verdicts, data)))
    text = page.artifact_page(
        data.artifact, verdicts, out, "../index.html", data=data, plots=drawn, shown=shown
    )
    result = RenderResult(_write(out / "index.html", text), tuple(files), tuple(verdicts))
    _refresh_scoreboard(out)
    return result


def render_interface(name: str, out_dir: Path | None = None) -> RenderResult:
    """Looks an interface table up in this checkout, runs the tests of its build, and writes the page."""
    artifact = registry.load_artifact(name)
    if artifact.interface is None:
        raise UserError(
            f"{name} is no interface table: it needs a run; `stackrig reproduce {name}` makes one"
        )
    scope = interfaces.Scope.model_validate(artifact.interface)
    table = papers.table(artifact.paper, scope.table)
    found = interfaces.check(scope, table, paths.root(), paths.build_dir())
    out = (out_dir or paths.results() / name).resolve()
    out.mkdir(parents=True, exist_ok=True)
    _write(out / "interface.json", found.model_dump_json(indent=1) + "\n")
    return render_found_interface(artifact, out)


def found_interface(folder: Path) -> Interface | None:
    """What the last check of an interface table found; None where there was none."""
    try:
        return Interface.model_validate_json((folder / "interface.json").read_bytes())
    except (OSError, ValueError):
        return None


def render_found_interface(artifact: Artifact, out: Path) -> RenderResult:
    """The page of what the last check found."""
    found = found_interface(out)
    verdicts = judge(papers.claims_on(artifact), None, found)
    answers = _write(out / "verdicts.json", _verdicts(artifact, verdicts, None))
    tags = [f"looked up in {found.build}", found.checked] if found else []
    text = page.artifact_page(artifact, verdicts, out, "../index.html", interface=found, tags=tags)
    result = RenderResult(_write(out / "index.html", text), (answers,), tuple(verdicts))
    _refresh_scoreboard(out)
    return result


def _refresh_scoreboard(out: Path) -> None:
    """The page's way home tells the same verdicts, where this is the place for results."""
    from stackrig.report import site

    site.refresh(out)


def _artifact_of(run_dir: Path) -> str:
    record = run_dir / "run.json"
    try:
        return str(json.loads(record.read_bytes())["artifact"])
    except OSError as error:
        raise UserError(f"{paths.shown(record)}: {error.strerror}; expected a run's folder") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{paths.shown(record)}: not a run's record: {error}") from error


def _verdicts(artifact: Artifact, verdicts: Sequence[Verdict], data: RunData | None) -> str:
    record: dict[str, Any] = {
        "schema": 1,
        "artifact": artifact.id,
        "paper": artifact.paper,
        "run": data.run.id if data else None,
        "profile": data.run.profile if data else None,
        "testbed_class": data.run.testbed.testbed_class if data else None,
        "started": data.run.started if data else None,
        "counts": counts(list(verdicts)),
        "verdicts": [to_json(verdict) for verdict in verdicts],
    }
    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _write(path: Path, text: str) -> Path:
    """Whole or not at all: a reader never sees half a page."""
    part = path.with_name(f".unfinished-{path.name}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
    return path

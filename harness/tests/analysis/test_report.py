# SPDX-License-Identifier: Apache-2.0
"""Pages: whole, without a network, and every number leads to its trials."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from stackrig import registry
from stackrig.claims.verdict import Outcome
from stackrig.errors import UserError
from stackrig.model.experiment import Artifact
from stackrig.model.paper import Value
from stackrig.model.trial import Trial
from stackrig.report import site, words
from stackrig.report.artifact import RenderResult, render, render_interface
from stackrig.stats.interval import Interval
from tests.analysis import made_up

VOID = {"meta", "link", "img", "br", "source", "hr", "input"}


class Page(HTMLParser):
    """A page's ids, links and unclosed tags."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.path, self.ids, self.links, self.sources = path, [], [], []  # type: ignore[var-annotated]
        self.open: list[str] = []
        self.text = ""
        self.numbers_without_link: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"]] if given.get("id") else []
        self.links += [given["href"]] if given.get("href") else []
        self.sources += [given[name] for name in ("src", "srcset") if given.get(name)]
        if tag not in VOID:
            self.open.append(tag)
        if given.get("class") == "value" and "a" not in self.open:
            self.numbers_without_link.append(str(self.getpos()))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{self.path}: {self.getpos()}: </{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


def read(path: Path) -> Page:
    page = Page(path)
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids), "an id is given twice"
    for link in [*page.links, *page.sources]:
        assert not re.match(r"(https?:)?//", link), f"{link} needs a network"
        if link.startswith("data:"):
            continue
        file, _, place = link.partition("#")
        target = (path.parent / unquote(file)).resolve() if file else path
        assert target.exists(), f"{path}: {link} leads nowhere"
        if place and target == path:
            assert place in page.ids, f"{path}: {link} leads nowhere on the page"
        elif place and target.suffix == ".html":
            assert f'id="{place}"' in target.read_text(encoding="utf-8"), f"{path}: {link} leads nowhere"
    return page


def truth(system: str, axes: Mapping[str, Any]) -> Mapping[str, float]:
    size = axes.get("file_size", 30000)
    cost = {"nginx": 34e-6, "sandstorm/memcpy": 10e-6}.get(system, 9e-6) + 4e-10 * size
    return {
        "goodput": 8 * size / cost,
        "requests_rate": 1 / cost,
        "server_cpu_percent": 97.0,
        "server_cpu_cores": 0.97,
        "syscalls_rate": 1e5,
    }


def narrowed(name: str = "figure-3.6") -> Artifact:
    """The real artifact with the grid of its local profile."""
    artifact = registry.load_artifact(name)
    assert artifact.experiment is not None
    grid = {**artifact.experiment.grid, **artifact.experiment.profiles["local"].grid}
    return artifact.model_copy(update={"experiment": artifact.experiment.model_copy(update={"grid": grid})})


def one_of_each(trial: Trial) -> Trial:
    size = trial.point.settings.get("file_size")
    if trial.point.label == "nginx" and size == 16384:
        return made_up.failed(trial, "it <died> & left").model_copy(update={"log_excerpt": "<b>alert</b>"})
    return made_up.saturated(trial) if size == 1048576 else trial


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> RenderResult:
    """figure-3.6 of a made-up run, drawn once for all tests that only look."""
    data = made_up.make(narrowed(), truth, repetitions=3, change=one_of_each)
    folder = tmp_path_factory.mktemp("results")
    result = render(made_up.write(data, folder))
    with pytest.MonkeyPatch.context() as patch:  # nothing is compiled for this
        patch.setenv("STACKRIG_BUILD", str(folder / "no-build"))
        render_interface("table-3.1", folder / "table-3.1")
    site.scoreboard(folder)  # the page's way home
    return result


def small(folder: Path, repetitions: int = 1) -> Path:
    """A run of the artifact that is drawn quickest."""
    return made_up.write(made_up.make(narrowed("figure-3.5"), truth, repetitions=repetitions), folder)


def test_a_run_becomes_figure_data_verdicts_and_page(found: RenderResult) -> None:
    folder = found.page.parent
    assert os.fspath(found) == str(folder / "index.html")
    names = {path.name for path in folder.iterdir() if path.is_file()}
    assert names == {
        *("figure.svg", "figure.png", "figure-dark.svg", "data.csv", "verdicts.json", "index.html")
    }
    assert sum(found.counts.values()) == len(found.verdicts) > 5
    record = json.loads((folder / "verdicts.json").read_text())
    assert record["counts"] == found.counts
    assert record["profile"] == "local"


def test_the_page_is_whole_and_every_link_leads_somewhere(found: RenderResult) -> None:
    page = read(found.page)
    assert page.numbers_without_link == []
    trials = [link for link in page.links if link.endswith("trial.json")]
    assert len(trials) == 3 * 36
    for said in (
        "What differs from the paper",
        "one quad-core Intel Xeon E5-2643",
        "stackrig reproduce figure-3.6 --profile local --seed 42",
        "testbed of class veth",
        "0123456789abcdef0123456789abcdef01234567",
        "afxdp:rig-s0?queues=1",
        "client saturated (made up)",
        "failed: it <died> & left",
        "<b>alert</b>",
        "How it was read",
        "paper: 6 NICs",
    ):
        assert said in page.text, said
    assert "<b>alert" not in found.page.read_text()
    svgs = [source for source in page.sources if source.startswith("data:image/svg+xml")]
    assert len(svgs) == 2, "light and dark, inside the page"


def test_a_single_repetition_says_that_it_decides_nothing(tmp_path: Path) -> None:
    found = render(small(tmp_path))
    assert "A single trial has no interval" in Page(found.page).text
    assert found.counts[Outcome.CONFIRMED.value] == 0
    assert found.counts[Outcome.CONTRADICTED.value] == 0


def test_a_record_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    run = small(tmp_path)
    broken = sorted(run.glob("trials/*/trial.json"))[0]
    broken.write_text('{"schema": 1}')
    assert "1 records could not be read" in Page(render(run).page).text


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"run\.json: No such file"):
        render(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UserError, match="not a run's record"):
        render(tmp_path)


# The scoreboard -----------------------------------------------------------------------------------------


def test_the_scoreboard_tells_of_what_was_run_and_what_was_not(found: RenderResult) -> None:
    results = found.page.parents[1]
    page = read(site.scoreboard(results))
    assert "not run yet: make reproduce-figure-3.4" in page.text
    total = site.total(results)
    assert total[Outcome.NOT_CHECKED.value] >= 13
    assert sum(total.values()) > 40
    assert page.text.index("not testable here") < page.text.index("The artifacts")


def test_the_newest_complete_run_is_shown(tmp_path: Path) -> None:
    first = small(tmp_path)
    later = first.with_name("later")
    later.mkdir()
    record = json.loads((first / "run.json").read_text())
    (later / "run.json").write_text(json.dumps(record | {"id": "later", "started": "2027-01-01T00:00:00Z"}))
    assert site.latest(tmp_path, "figure-3.5") == first, "a run without a trial shows nothing"
    (first / "trials").rename(later / "trials")
    assert site.latest(tmp_path, "figure-3.5") == later
    assert site.latest(tmp_path, "figure-3.4") is None


def test_a_run_of_one_point_or_of_profile_smoke_does_not_take_the_pages_place(tmp_path: Path) -> None:
    first = small(tmp_path)
    record = json.loads((first / "run.json").read_text())

    def later(name: str, day: int, **changes: object) -> Path:
        shutil.copytree(first, folder := first.with_name(name))
        whole = record | {"id": name, "started": f"2027-01-{day:02}T00:00:00Z"} | changes
        (folder / "run.json").write_text(json.dumps(whole))
        return folder

    filtered = later("filtered", 1, plan=record["plan"] | {"filters": {"nics": "1"}})
    later("smoke", 2, profile="smoke")
    later("stopped", 3, status="stopped")
    assert site.latest(tmp_path, "figure-3.5") == first
    newer = later("newer", 4)
    later("smoke-again", 5, profile="smoke")
    assert site.latest(tmp_path, "figure-3.5") == newer
    assert "all points" in Page(render(newer).page).text
    text = Page(render(filtered).page).text
    assert "only nics=1" in text
    assert "The run is of some points only" in text


def test_a_run_is_found_by_its_id(tmp_path: Path) -> None:
    run = small(tmp_path)
    assert site.find(tmp_path, "figure-3.5", run.name) == run
    with pytest.raises(UserError, match="did you mean 20261120-120000-made-up"):
        site.find(tmp_path, "figure-3.5", "20261120-made-up")


def test_an_interface_is_looked_up_once_and_shown_again(found: RenderResult) -> None:
    results = found.page.parents[1]
    page = read(results / "table-3.1" / "index.html")
    assert "looked up in" in page.text
    assert "netmap_output" in page.text
    before = (results / "table-3.1" / "interface.json").read_text()
    again = site.build(results, ["table-3.1"]).rendered["table-3.1"]
    assert len(again.verdicts) == 12
    assert (results / "table-3.1" / "interface.json").read_text() == before


# The verbs ----------------------------------------------------------------------------------------------


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STACKRIG_RESULTS", str(tmp_path))
    small(tmp_path, repetitions=3)
    return tmp_path


def stackrig(*arguments: str) -> int:
    from stackrig.cli.main import app

    with pytest.raises(SystemExit) as ended:
        app(arguments)
    return int(ended.value.code or 0)


def test_stackrig_report_writes_pages(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stackrig("report", "figure-3.5", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert Path(told["page"]) == results / "index.html"
    assert Path(told["artifacts"]["figure-3.5"]["page"]).exists()


def test_what_is_rendered_is_on_the_scoreboard_at_once(results: Path) -> None:
    (run,) = (results / "figure-3.5").iterdir()
    render(run)
    assert "more than twice nginx" in read(results / "index.html").text


def test_stackrig_verdict_tells_and_writes_nothing(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stackrig("verdict", "figure-3.5") == 0
    told = capsys.readouterr().out
    assert "figure-3.5.twice" in told
    assert "CONFIRMED" in told
    assert not (results / "figure-3.5" / "index.html").exists()
    assert stackrig("verdict", "figure-3.5", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["evidence"]


def test_a_verb_answers_a_wrong_name_with_the_nearest(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stackrig("verdict", "figure-3.66") == 2
    assert "did you mean figure-3.6" in capsys.readouterr().err
    assert stackrig("report", "--run", "some-run") == 2
    assert stackrig("report", "figure-3.6", "--run", "some-run") == 2


# Words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [
        *((22.34, "22.3"), (0.0713, "0.0713"), (1240.0, "1,240"), (9.31e6, "9.31e+06"), (0.0, "0")),
        *((float("inf"), "∞"), (float("nan"), "–"), (-3.0, "−3.00")),
    ],
)
def test_a_number_keeps_three_digits(value: float, said: str) -> None:
    assert words.short(value) == said


def test_a_bound_is_told_as_one() -> None:
    assert words.span(Interval(2.0, 1.8, 2.2, 5)) == "1.80 – 2.20"
    assert words.span(Interval(2.0, 1.8, 2.2, 5).open_ended(up=True)) == "1.80 and more"
    assert words.span(Interval(2.0, 1.8, 2.2, 5).open_ended(down=True)) == "2.20 and less"
    assert words.span(Interval(2.0, float("nan"), float("nan"), 1)) == "none (one trial)"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"unit": "bit/s", "value": 9.2e9, "approximate": True}, "about 9.2 Gb/s"),
        ({"unit": "ratio", "low": 1.23, "high": 3.4}, "1.23 to 3.4 times"),
        ({"unit": "B", "value": 524288, "bound": "at least"}, "at least 512 KiB"),
        ({"unit": "B", "value": 20e6, "approximate": True}, "about 20 MB"),
        ({"unit": "s", "value": 80e-6}, "80 µs"),
        ({"unit": "1/s", "value": 9310000}, "9,310,000 per second"),
        ({"unit": "%", "value": 75}, "75 %"),
    ],
)
def test_a_published_number_is_told_with_its_unit(fields: dict[str, Any], said: str) -> None:
    given = {"id": "v", "artifact": "a", "where": {"section": "9", "page": 9}, "what": "w", "quantity": "q"}
    assert words.printed(Value.model_validate(given | fields)) == said

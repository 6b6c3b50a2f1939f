# SPDX-License-Identifier: Apache-2.0
"""Figures: one look per system, honest marks, the same bytes for the same data."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes

from stackrig import registry
from stackrig.claims.records import RunData
from stackrig.figures import draw, series, style
from stackrig.model.paper import Value
from stackrig.model.system import Look
from stackrig.model.trial import Metric, Trial
from tests.analysis import made_up

SIZES = [4096, 65536, 1048576]
PANELS = [
    {
        "id": name,
        "title": "Throughput, {nics}",
        "x": "file_size",
        "y": "goodput",
        "x_scale": "log2",
        "where": {"nics": nics},
        "paper_where": {"nics": paper},
    }
    for name, nics, paper in (("a", 1, 1), ("b", 2, 6))
]


def truth(system: str, axes: Mapping[str, Any]) -> Mapping[str, float]:
    return {"goodput": (4e9 if system == "nginx" else 9e9) * axes["nics"]}


def run(nics: Sequence[int] = (1, 2), **options: Any) -> RunData:
    fig = made_up.artifact(grid={"nics": list(nics), "file_size": SIZES}, panels=PANELS)
    return made_up.make(fig, truth, **options)


def test_a_panel_shows_the_systems_that_it_names() -> None:
    fig = made_up.artifact(
        grid={"nics": [1, 2], "file_size": SIZES}, panels=[PANELS[0], {**PANELS[1], "systems": ["nginx"]}]
    )
    everyone, one = series.plots(made_up.make(fig, truth))
    assert len(everyone.series) > 1
    assert [line.system for line in one.series] == ["nginx"]


# Styles -------------------------------------------------------------------------------------------------


def test_every_system_that_there_is_looks_unlike_the_others() -> None:
    looks = [(one.color, one.line, one.mark) for one in style.styles().values()]
    assert len(set(looks)) == len(looks)
    marks = {label: one.mark for label, one in style.styles().items() if "/" not in label}
    assert len(set(marks.values())) == len(marks)


def test_every_label_of_every_artifact_has_a_style() -> None:
    for name in registry.artifacts():
        experiment = registry.load_artifact(name).experiment
        for system in experiment.systems if experiment else ():
            assert style.style_of(system).color.startswith("#")


def test_a_system_keeps_its_look_when_another_comes() -> None:
    before = style.assign({"los": ({"los": Look()}, Look())})
    after = style.assign({"los": ({"los": Look()}, Look()), "atlas": ({"atlas": Look()}, Look())})
    assert before["los"] == after["los"]
    assert after["atlas"].color != after["los"].color
    assert after["atlas"].mark != after["los"].mark


def test_names_whose_hashes_meet_do_not_share_a_colour() -> None:
    places = len(style.COLOURS)
    meet = [name for i in range(500) if zlib.crc32((name := f"system{i}").encode()) % places == 3]
    names = meet[:places]
    found = style.assign({name: ({name: Look()}, Look()) for name in names})
    assert len({one.color for one in found.values()}) == len(names)
    assert len({one.mark for one in found.values()}) == len(names)


def test_what_a_system_says_of_its_look_holds() -> None:
    said = Look(color="green", mark="D", line="dotted")
    found = style.assign({"a": ({"a/x": Look(), "a/y": Look(mark="v", line="solid")}, said)})
    assert (found["a/x"].color, found["a/x"].mark, found["a/x"].line) == ("#009E73", "D", "dotted")
    assert (found["a/y"].mark, found["a/y"].line) == ("v", "solid")
    assert found["a/x"].color != found["a/y"].color


def test_a_system_that_is_gone_can_still_be_drawn() -> None:
    assert style.style_of("gone/variant") == style.style_of("gone/variant")


# Series -------------------------------------------------------------------------------------------------


def test_a_panel_shows_the_local_points_and_names_the_papers() -> None:
    first, second = series.plots(run())
    assert (first.title, first.paper) == ("Throughput, 1 NIC", "")
    assert (second.title, second.paper) == ("Throughput, 2 NICs", "6 NICs")
    assert [mark.x for mark in second.series[0].marks] == SIZES


def test_in_the_papers_profile_a_panel_shows_the_papers_points() -> None:
    second = series.plots(run(nics=[1, 6], profile="paper"))[1]
    assert (second.title, second.paper) == ("Throughput, 6 NICs", "")


def test_data_has_every_mark_with_its_interval_and_trials() -> None:
    data = run(repetitions=5)
    rows = list(csv.DictReader(io.StringIO(series.to_csv(data, series.plots(data)))))
    assert len(rows) == 2 * 2 * len(SIZES)
    for row in rows:
        assert float(row["low"]) <= float(row["median"]) <= float(row["high"])
        assert (row["unit"], row["trials"]) == ("bit/s", "5")
        assert len(row["trial_ids"].split()) == 5


def test_a_single_trial_has_a_mark_and_no_interval() -> None:
    data = run(repetitions=1)
    row = next(csv.DictReader(io.StringIO(series.to_csv(data, series.plots(data)))))
    assert (row["low"], row["high"], row["level"]) == ("", "", "")
    assert float(row["median"]) > 0


def lost_and_hollow(trial: Trial) -> Trial:
    size = trial.point.settings["file_size"]
    if trial.point.label == "nginx" and size == 65536:
        return made_up.failed(trial)
    return made_up.saturated(trial) if trial.point.label != "nginx" and size == 1048576 else trial


def test_lost_and_saturated_points_are_told_in_the_data() -> None:
    data = run(change=lost_and_hollow)
    rows = list(csv.DictReader(io.StringIO(series.to_csv(data, series.plots(data)))))
    lost = [row for row in rows if row["lost"] != "0"]
    assert [(row["system"], row["median"], row["lost"]) for row in lost] == [("nginx", "", "8")] * 2
    assert {row["file_size"] for row in rows if row["limited_by"] == "client"} == {"1048576"}


# Drawing ------------------------------------------------------------------------------------------------


def axes_of(data: RunData, published: Sequence[Value] = ()) -> list[Axes]:
    figure = draw.draw(series.plots(data), published, style.LIGHT)
    plt.close(figure)
    return list(figure.axes)


def test_a_hollow_mark_is_a_saturated_clients() -> None:
    axes = axes_of(run(change=lost_and_hollow))[0]
    marks = [line for line in axes.lines if line.get_marker() == "o"]
    faces = [str(mark.get_markerfacecolor()) for mark in marks]
    assert faces.count(style.LIGHT.paper) == 1
    assert len(faces) == len(SIZES)


def test_a_half_filled_mark_is_a_point_at_which_nobody_was_busy() -> None:
    def idle(trial: Trial) -> Trial:
        busy = 60.0 if trial.point.label != "nginx" and trial.point.settings["file_size"] == 4096 else 97.0
        cpu = Metric(value=busy, unit="%", how="made up")
        return trial.model_copy(update={"metrics": {**trial.metrics, "server_cpu_percent": cpu}})

    data = run(change=idle)
    marks = [line for line in axes_of(data)[0].lines if line.get_marker() == "o"]
    assert [mark.get_fillstyle() for mark in marks] == ["bottom", "full", "full"]
    rows = csv.DictReader(io.StringIO(series.to_csv(data, series.plots(data))))
    assert {row["file_size"] for row in rows if row["limited_by"] == "load"} == {"4096"}


def test_no_line_leads_across_a_lost_point() -> None:
    axes = axes_of(run(change=lost_and_hollow))[0]
    nginx = style.style_of("nginx")
    lines = [line for line in axes.lines if line.get_color() == nginx.color and line.get_linestyle() == "-"]
    assert max(len(line.get_xdata()) for line in lines) == 1  # type: ignore[arg-type]
    crosses = [line for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata())]  # type: ignore[arg-type]
    assert len(crosses) == 1


def test_sizes_are_ticks_in_kib_and_scales_begin_at_zero() -> None:
    first, second = axes_of(run())[:2]
    assert [label.get_text() for label in first.get_xticklabels()] == ["4", "64", "1024"]
    assert first.get_xlabel() == "File size (KiB)"
    assert first.get_ylim()[0] == 0
    assert first.get_ylim() == second.get_ylim(), "panels of one metric are read against each other"


def value(**fields: Any) -> Value:
    given = {
        "id": "v",
        "artifact": "figure-9.9",
        "where": {"section": "9", "page": 9},
        "what": "w",
        "panel": "a",
    }
    return Value.model_validate(given | {"unit": "bit/s", "quantity": "goodput"} | fields)


@pytest.mark.parametrize(
    ("number", "words"),
    [(9.2e9, "paper: 9.2 Gb/s from 64 KiB on"), (9.2e11, "paper: 920 Gb/s from 64 KiB on (off scale)")],
)
def test_the_papers_level_is_drawn_where_it_fits_and_told_where_not(number: float, words: str) -> None:
    level = value(value=number, draw="level", at={"file_size": {"at_least": "64KiB"}})
    axes = axes_of(run(), [level])[0]
    assert words in [text.get_text() for text in axes.texts]
    assert axes.get_ylim()[1] < 3e1


def test_the_papers_place_is_a_line_at_its_x() -> None:
    place = value(value=65536, unit="B", quantity="file size", draw="place", at={"file_size": "64KiB"})
    axes = axes_of(run(), [place])[0]
    assert "paper: 64 KiB" in [text.get_text() for text in axes.texts]
    assert any(list(line.get_xdata()) == [16.0, 16.0] for line in axes.lines)  # type: ignore[arg-type]


def test_a_logarithmic_axis_has_its_marks_where_their_values_are() -> None:
    """Also where many curves step aside of each other: by a part of the axis, not of the values."""
    systems = ["nginx", "sandstorm/precopy", "sandstorm/memcpy", "nsd", "knot"]
    fig = made_up.artifact(
        grid={"nics": [1, 100, 10_000]},
        systems=systems,
        panels=[{"id": "a", "title": "NICs", "x": "nics", "x_scale": "log10", "y": "goodput"}],
    )
    (axes,) = axes_of(made_up.make(fig, lambda system, axes: {"goodput": 1e9}))
    left, right = axes.get_xlim()
    curves: list[list[float]] = [np.asarray(line.get_xdata(), dtype=float).tolist() for line in axes.lines]
    whole = [curve for curve in curves if len(curve) == 3]
    assert len(whole) == len(systems)
    for curve in whole:
        for x, place in zip(curve, (0, 2, 4), strict=True):
            assert left < x < right
            assert abs(x - place) < 0.2
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "100", "10000"]


def test_a_legend_has_no_row_that_is_wider_than_the_figure() -> None:
    names = registry.load_artifact("figure-3.8").experiment.systems  # type: ignore[union-attr]
    truth_ = {"goodput": 1e9}
    fig = made_up.artifact(grid={"nics": [1], "file_size": SIZES}, panels=PANELS[:1] * 2, systems=names)
    figure = draw.draw(series.plots(made_up.make(fig, lambda system, axes: truth_)), [], style.LIGHT)
    figure.canvas.draw()
    boxes = [legend.get_window_extent() for legend in figure.legends]
    assert len(boxes) >= 2
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width for box in boxes)


def test_a_panel_without_trials_says_so() -> None:
    data = run(nics=[1])
    texts = [text.get_text() for axes in axes_of(data) for text in axes.texts]
    assert "not in this run" in texts


def test_the_same_data_gives_the_same_files(tmp_path: Path) -> None:
    data = run(repetitions=3)
    first = draw.save(series.plots(data), [], tmp_path / "one")
    second = draw.save(series.plots(data), [], tmp_path / "two")
    assert [path.name for path in first] == ["figure.svg", "figure.png", "figure-dark.svg"]
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()
    assert (tmp_path / "one" / "figure.png").read_bytes().startswith(b"\x89PNG")

# SPDX-License-Identifier: Apache-2.0
"""Tables beside the paper's, ratios as panels, and the machines: all over made-up trials."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stackrig import registry
from stackrig.claims import papers
from stackrig.claims.records import RunData
from stackrig.errors import UserError
from stackrig.figures import draw, reference, series, style, tables
from stackrig.figures.series import Plot
from stackrig.model.experiment import Artifact, TableOf
from stackrig.model.expression import Expression
from stackrig.model.metrics import shown_in
from stackrig.model.paper import Table
from stackrig.model.trial import Trial
from stackrig.names import check_panels
from stackrig.report.artifact import render
from stackrig.report.machines import render_machines
from tests.analysis import made_up
from tests.analysis.test_report import read


def truth(system: str, axes: Mapping[str, Any]) -> Mapping[str, float]:
    """The kernel twice as fast at 32 bytes, alike at 16 KiB."""
    size = axes["payload"]
    cost = 20e-6 + 1e-9 * size
    if system == "in-kernel/bpf":
        cost = 10e-6 + 1.6e-9 * size
    run = 1.2 if axes.get("run") == 2 and size > 512 else 1.0
    return {
        "goodput": 8 * size / cost * run,
        "requests_rate": 1 / cost * run,
        "latency_mean": cost,
        "latency_p50": cost,
        "server_cpu_per_request": cost,
        "server_cpu_percent": 95.0,
    }


def made(name: str, **options: Any) -> RunData:
    return made_up.make(registry.load_artifact(name), truth, repetitions=3, **options)


def test_a_table_has_the_papers_rows_and_columns_and_its_numbers_beside() -> None:
    streaming, in_turns = tables.tables(made("slick-table-3.2"))
    table = papers.table("slick-2011", "3.2")
    assert [row.value for row in streaming.rows] == [int(table.place(row)) for row in table.rows]
    assert [column.head for column in streaming.columns] == table.columns[1:]
    first = {entry.column.head: entry for entry in streaming.rows[0].entries}
    assert first["Kernel module throughput"].printed == "103.66 mbps"
    assert first["User process latency"].printed == "37 ms"
    measured = first["User process throughput"].interval
    assert measured is not None and measured.value == pytest.approx(8 * 32 / 20.032e-6, rel=0.1)
    assert dict(first["User process throughput"].cell.point)["under_way"] == 32768
    assert dict(in_turns.rows[0].entries[0].cell.point)["under_way"] == 0


def test_columns_of_two_runs_are_two_runs() -> None:
    (table,) = tables.tables(made("slick-table-3.3"))
    at_1024 = next(row for row in table.rows if row.value == 1024)
    by_head = {entry.column.head: entry for entry in at_1024.entries}
    runs = [by_head[f"Kernel (slick) run {run}"] for run in (1, 2)]
    assert [dict(one.cell.point)["run"] for one in runs] == [1, 2]
    first, second = (one.interval.value for one in runs if one.interval is not None)
    assert second / first == pytest.approx(1.2, rel=0.1)
    assert [one.printed for one in runs] == ["201.20 mbps", "199.60 mbps"]


def test_a_smaller_profiles_table_has_the_rows_that_were_measured() -> None:
    def only_32(trial: Trial) -> Trial | None:
        return trial if trial.point.settings["payload"] == 32 else None

    (table, _) = tables.tables(made("slick-table-3.2", change=only_32))
    assert [row.head for row in table.rows] == ["32 B"]


def test_systems_stand_beside_each_other_in_units_that_suit_them() -> None:
    alone, many = tables.tables(made("echo-stacks"))
    assert alone.title == "Throughput and round-trip time, 1 connection"
    assert [(column.head, column.unit) for column in alone.columns[:2]] == [
        ("user-echo", "Mb/s"), ("user-echo/epoll", "Mb/s")
    ]  # fmt: skip
    assert [column.unit for column in alone.columns[-5:]] == ["µs"] * 5
    assert not alone.has_paper
    assert len(many.rows) == 4

    def not_serial(trial: Trial) -> Trial | None:
        return (
            None if trial.point.label == "user-echo" and trial.point.settings["connections"] == 32 else trial
        )

    _, without = tables.tables(made("echo-stacks", change=not_serial))
    assert "user-echo" not in [column.head for column in without.columns]


def test_a_table_as_markdown_and_as_data() -> None:
    def lost(trial: Trial) -> Trial:
        here = trial.point.label == "libevent" and trial.point.settings["payload"] == 64
        return made_up.failed(trial) if here else trial

    shown = tables.tables(made("slick-table-3.3", change=lost))
    text = tables.to_markdown(shown)
    assert "| Payload size | Kernel (slick) run 1, Mb/s |" in text
    row = next(line for line in text.splitlines() if line.startswith("| 64 B |"))
    assert "(22.88 mbps)" in row and "lost (7.21 mbps)" in row
    rows = list(csv.DictReader(tables.to_csv(shown).splitlines()))
    first = next(
        one for one in rows if one["row"] == "32" and one["column"].startswith("Kernel (slick) run 1")
    )
    assert (first["paper"], first["paper_unit"], first["unit"], first["trials"]) == (
        "15.40 mbps", "Mb/s", "bit/s", "3",
    )  # fmt: skip
    assert len(first["trial_ids"].split()) == 3
    assert float(first["low"]) < float(first["median"]) < float(first["high"])


def test_a_number_that_is_a_bound_says_so_unless_the_metric_cannot_be_one() -> None:
    shown = tables.tables(made("slick-table-3.2", change=made_up.saturated))
    row = next(line for line in tables.to_markdown(shown).splitlines() if line.startswith("| 32 B |"))
    cells = [cell.strip() for cell in row.split("|")[2:-1]]
    assert [cell.startswith("≥ ") for cell in cells] == [True, False, True, False]


def test_the_page_has_the_table_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    result = render(made_up.write(made("slick-table-3.3"), tmp_path))
    names = {path.name for path in result.page.parent.iterdir() if path.is_file()}
    assert names == {"table.csv", "table.md", "verdicts.json", "index.html"}
    (tmp_path / "index.html").touch()
    read(result.page)
    text = result.page.read_text()
    assert "paper: 15.40 mbps" in text and "User process (libevent) run 2" in text
    assert len(result.verdicts) == len(papers.claims_on(registry.load_artifact("slick-table-3.3")))
    rows = {v["claim"] for v in json.loads((result.page.parent / "verdicts.json").read_text())["verdicts"]}
    assert {f"slick-table-3.3.{size}" for size in (32, 64, 128, 256, 512, 1024, 2048, 4096)} <= rows


def test_every_row_of_both_tables_has_a_verdict_of_its_own() -> None:
    for name in ("3.2", "3.3"):
        ids = {claim.id for claim in papers.claims_on(registry.load_artifact(f"slick-table-{name}"))}
        table = papers.table("slick-2011", name)
        assert {f"slick-table-{name}.{table.place(row):.0f}" for row in table.rows} <= ids


# Ratios as panels ---------------------------------------------------------------------------------------


def drawn(name: str = "slick-figure-3.1", **options: Any) -> dict[str, Plot]:
    return {plot.panel.id: plot for plot in series.plots(made(name, **options))}


def test_a_relative_panel_shows_ratios_pair_by_pair() -> None:
    def drifting(trial: Trial) -> Trial:
        """A machine that slows down to a quarter: no ratio of a pair notices."""
        pace = 0.5**trial.repetition
        metrics = {k: v.model_copy(update={"value": v.value * pace}) for k, v in trial.metrics.items()}
        return trial.model_copy(update={"metrics": metrics})

    plot = drawn(change=drifting, noise=0.0)["b"]
    assert [one.system for one in plot.series] == ["in-kernel/bpf"]
    found = plot.series[0].marks[0].interval
    assert found is not None
    expected = (20e-6 + 32e-9) / (10e-6 + 1.6 * 32e-9)
    assert (found.value, found.low, found.high) == pytest.approx((expected,) * 3)
    assert plot.y.shown_unit == "times user-echo"
    assert plot.shown("goodput").shown_per == 1.0


def test_the_papers_ratios_follow_from_its_table_and_stand_where_the_run_has_points() -> None:
    found = dict(reference.printed_ratios(drawn()["b"], drawn()["b"].series[0]))
    assert found[32] == pytest.approx(103.66 / 65.57)
    assert len(found) == 10
    second = drawn("slick-figure-3.2")["d"]
    assert dict(reference.printed_ratios(second, second.series[0]))[2048] == pytest.approx(414.00 / 296.78)


def test_a_ratio_is_a_bound_if_either_side_is() -> None:
    def held(trial: Trial) -> Trial:
        return made_up.saturated(trial) if trial.point.label == "user-echo" else trial

    assert drawn(change=held)["b"].series[0].marks[0].limited_by == "client"
    assert drawn()["b"].series[0].marks[0].limited_by == ""


def test_an_axis_of_many_sizes_and_one_of_decades(tmp_path: Path) -> None:
    plots = series.plots(made("slick-figure-3.1"))
    figure = draw.draw(plots, [], style.LIGHT)
    first, second = figure.axes[:2]
    assert [label.get_text() for label in first.get_xticklabels()] == [
        "32", "64", "128", "256", "512", "1K", "2K", "4K", "8K", "16K"
    ]  # fmt: skip
    assert (first.get_yscale(), second.get_yscale()) == ("log", "linear")
    low, high = first.get_ylim()
    assert (low, high) == (10, 10_000)
    assert first.yaxis.get_major_formatter()(1000, 0) == "1,000"
    assert any(text.get_text() == "paper" for text in second.texts)
    assert not any(text.get_text() == "paper" for text in figure.axes[3].texts)
    assert figure.axes[2].get_xlabel() == "buffer size (bytes)"


def test_a_figure_may_have_another_artifacts_experiment() -> None:
    figure, table = (registry.load_artifact(name) for name in ("slick-figure-3.1", "slick-table-3.2"))
    assert figure.experiment == table.experiment
    for name in ("slick-figure-3.1", "slick-figure-3.2"):
        figure = registry.load_artifact(name)
        check_panels(registry.artifacts()[name], figure)


# Descriptions -------------------------------------------------------------------------------------------


def test_a_table_is_the_papers_or_ours() -> None:
    TableOf.model_validate({"published": "3.2"})
    TableOf.model_validate({"rows": "payload", "metrics": ["goodput"]})
    for wrong in ({}, {"rows": "payload"}, {"published": "3.2", "rows": "payload", "metrics": ["goodput"]}):
        with pytest.raises(ValueError, match="expected either `published`"):
            TableOf.model_validate(wrong)


def test_artifacts_have_one_experiment_or_none() -> None:
    base = {"schema": 1, "id": "x", "title": "x", "paper": "p", "caption": "c"}
    for wrong in ({}, {"kind": "machines", "experiment_of": "y", "tables": [{"published": "1"}]}):
        with pytest.raises(ValueError, match="one experiment"):
            Artifact.model_validate({**base, **wrong})
    with pytest.raises(ValueError, match="a table needs tables"):
        Artifact.model_validate({**base, "kind": "table", "experiment_of": "y"})


def test_mistakes_in_tables_are_told_with_their_place() -> None:
    artifact = registry.load_artifact("echo-stacks")
    table = {"rows": "payloads", "metrics": ["goodpot"], "systems": ["nginx"], "where": {"wires": 1}}
    wrong = artifact.model_copy(update={"tables": [TableOf.model_validate(table)]})
    with pytest.raises(UserError) as told:
        check_panels(registry.artifacts()["echo-stacks"], wrong)
    for word in ("payloads", "goodpot", "nginx", "wires"):
        assert f"'{word}'" in str(told.value)


def test_a_printed_table_says_what_its_columns_hold() -> None:
    fields: dict[str, Any] = {
        "id": "9", "where": {"section": "9", "page": 9}, "what": "w", "columns": ["Size", "A"],
        "rows": [["32 bytes", "1,024.5 mbps"]], "axis": "payload",
    }  # fmt: skip
    table = Table.model_validate(fields)
    assert table.place(table.rows[0]) == 32
    assert table.printed("A", 32) == "1,024.5 mbps"
    assert table.printed("A", 64) is None
    held = {"system": "s", "quantity": "goodput", "per": 1e6, "unit": "Mb/s"}
    with pytest.raises(ValueError, match="'B' is none of the columns"):
        Table.model_validate({**fields, "means": {"B": held}})


def test_units_are_those_that_the_metric_has() -> None:
    assert shown_in("goodput", "Mb/s").shown_per == 1e6
    assert shown_in("latency_p50", "µs").shown_per == 1e-6
    assert shown_in("goodput").shown_unit == "Gb/s"
    with pytest.raises(ValueError, match="cannot be shown in 'ms'"):
        shown_in("goodput", "ms")


def test_the_larger_and_the_smaller_of_two() -> None:
    spread = Expression(
        "max(goodput('a', run=1), goodput('a', run=2)) / min(goodput('a', run=1), goodput('a', run=2))"
    )
    assert [term.pins for term in spread.terms] == [(("run", 1),), (("run", 2),)]
    one, two = (made_up_array(value) for value in (3.0, 2.0))
    assert float(spread.evaluate([one, two])) == pytest.approx(1.5)
    with pytest.raises(ValueError, match="expected"):
        Expression("max(goodput('a'))")


def made_up_array(value: float) -> Any:
    import numpy as np

    return np.float64(value)


# Machines -----------------------------------------------------------------------------------------------


def test_machines_stand_beside_this_testbed(tmp_path: Path) -> None:
    page = render_machines("slick-table-3.1", tmp_path / "slick-table-3.1")
    (tmp_path / "index.html").touch()
    read(page)
    text = page.read_text()
    assert "Intel Atom @ 1 x 1.67 GHz" in text and "veth pairs, without a rate of their own" in text
    markdown = (page.parent / "table.md").read_text()
    assert markdown.count("| Machine | CPU | Memory | Network |") == 2
    assert "server (the services)" in markdown
    with pytest.raises(UserError, match="no table of machines"):
        render_machines("slick-table-3.2", tmp_path / "x")

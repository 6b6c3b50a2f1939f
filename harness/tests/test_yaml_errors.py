# SPDX-License-Identifier: Apache-2.0
"""Every mistake in a description is told with file, line, field, what was expected and the nearest name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackrig import registry
from stackrig.errors import UserError
from stackrig.model.system import System
from stackrig.yamlfile import load

GOOD = """\
schema: 1
name: some
kind: baseline
title: Some
protocols: [http]
wires: [kernel]
command: [some]
default_variant: plain
variants:
  plain: {settings: {depth: 3}}
settings:
  depth: {type: int, default: 1}
"""


def told(tmp_path: Path, old: str, new: str) -> str:
    assert old in GOOD
    path = tmp_path / "system.yaml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(UserError) as error:
        load(path, System)
    return str(error.value)


def test_a_good_file_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "system.yaml"
    path.write_text(GOOD)
    assert load(path, System).settings["depth"].default == 1


def test_an_unknown_field_names_its_line_and_the_nearest(tmp_path: Path) -> None:
    said = told(tmp_path, "title: Some", "titel: Some")
    assert "system.yaml:4: field titel: unknown field" in said
    assert "did you mean title?" in said
    assert "field title: missing" in said


def test_an_unknown_field_deep_down(tmp_path: Path) -> None:
    said = told(tmp_path, "{type: int, default: 1}", "{type: int, defualt: 1}")
    assert "system.yaml:12: field settings.depth.defualt: unknown field" in said
    assert "did you mean default?" in said


def test_a_wrong_word_names_what_was_expected(tmp_path: Path) -> None:
    said = told(tmp_path, "kind: baseline", "kind: bsaeline")
    assert "system.yaml:3: field kind:" in said
    assert "'system' or 'baseline'" in said
    assert "got 'bsaeline'; did you mean baseline?" in said


def test_a_wrong_type(tmp_path: Path) -> None:
    said = told(tmp_path, "wires: [kernel]", "wires: kernel")
    assert "system.yaml:6: field wires: input should be a valid list, got 'kernel'" in said


def test_a_setting_of_the_wrong_type_in_a_variant(tmp_path: Path) -> None:
    assert "variant 'plain', setting 'depth': expected int, got 'deep'" in told(
        tmp_path, "depth: 3", "depth: deep"
    )


def test_a_field_given_twice(tmp_path: Path) -> None:
    said = told(tmp_path, "title: Some", "title: Some\ntitle: Other")
    assert "system.yaml:5: field title: given twice, first in line 4" in said


def test_no_yaml_at_all(tmp_path: Path) -> None:
    assert "system.yaml:7: not YAML" in told(tmp_path, "wires: [kernel]", "wires: [kernel")


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "system.yaml"
    path.write_text("")
    with pytest.raises(UserError, match="empty; expected a mapping with the fields of System"):
        load(path, System)


def test_every_mistake_at_once(tmp_path: Path) -> None:
    said = told(tmp_path, "title: Some\nprotocols: [http]", "titel: Some\nprotocols: [htpp]")
    assert len(said.splitlines()) == 3


def test_a_name_that_is_not_the_folders(project: Path) -> None:
    (project / "systems" / "other").mkdir()
    (project / "systems" / "other" / "system.yaml").write_text(GOOD)
    with pytest.raises(UserError, match="expected name other and kind system"):
        registry.load_system("other")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "figure-3.66"], "unknown artifact 'figure-3.66'; did you mean figure-3.6"),
        (["plan", "figure-3.6", "--profile", "smok"], "did you mean smoke?"),
        (["plan", "figure-3.6", "--point", "nic=1"], "did you mean nics?"),
        (["run", "figure-3.6", "--point", "nics"], "expected AXIS=VALUE"),
        (["bench", "sandstorm-veth-clos"], "did you mean sandstorm-veth-close"),
        (["check", "sandstrom"], "did you mean sandstorm"),
        (["check", "sandstorm/precpoy"], "unknown variant of sandstorm 'precpoy'; did you mean precopy"),
        (["check", "figure-3.6/precopy"], "figure-3.6 is no system"),
        (["plan", "figure-3.6", "--point", "system=ngnix"], "did you mean nginx?"),
        (["list", "system"], "did you mean systems?"),
        (["rnu"], "unknown verb 'rnu'; did you mean run?"),
        (["resume", "nothing"], "unknown run 'nothing'"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest_and_exit_code_2(
    words: list[str], said: str, cli: Callable[..., Any]
) -> None:
    done = cli(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_malformed_artifact_starts_nothing(
    project: Path, artifact: Callable[..., None], root_needed: Path, cli: Callable[..., Any]
) -> None:
    artifact(systems="nginks")
    done = cli("run", "tiny", "--profile", "smoke")
    assert done.returncode == 2
    assert "unknown system 'nginks'; did you mean nginx?" in done.stderr
    assert not root_needed.exists(), "an owner's record was written: something was started"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("load: wrk", "load: wrkk", "tiny.yaml:9: field experiment.load: unknown load generator 'wrkk'"),
        (
            "workload: web-persistent", "workload: web-presistent",
            "tiny.yaml:8: field experiment.workload: unknown workload 'web-presistent'; did you mean web-persistent",
        ),
        ("systems: [nginx]", "systems: [nginx/of]", "field experiment.systems.0: unknown variant of nginx 'of'"),
        (
            "fixed: {connections: 4}", "fixed: {conections: 4}",
            "tiny.yaml:12: field experiment.fixed.conections: unknown axis or setting 'conections'; did you mean",
        ),
        ("fixed: {connections: 4}", "fixed: {connections: many}", "fixed.connections: expected int, got 'many'"),
        ("nics: [1]", "nics: [one]", "tiny.yaml:11: field experiment.grid.nics: expected int, got 'one'"),
        ("smoke: {", "smoke: {systems: [nginks], ", "field experiment.profiles.smoke.systems.0: unknown system"),
    ],
)  # fmt: skip
def test_a_name_that_stands_for_nothing_is_told_with_its_place(
    project: Path, artifact: Callable[..., None], old: str, new: str, said: str
) -> None:
    artifact()
    path = project / "analysis" / "figures" / "none" / "tiny.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError) as error:
        registry.load_artifact("tiny")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("{at: {nics: one}}", r"field experiment.parts.few.at.nics: expected int, got 'one'"),
        ("{systems: [nginxx]}", r"unknown system of the experiment 'nginxx'; did you mean nginx"),
        ("{at: {queues: 1}}", r"part 'few' is at 'queues', which is no axis of the grid"),
        ("{fixed: {nics: 1}}", r"part 'few' fixes axis 'nics'; give it in `at`"),
    ],
)
def test_a_part_is_of_the_experiments_grid_and_systems(
    project: Path, artifact: Callable[..., None], part: str, said: str
) -> None:
    artifact()
    path = project / "analysis" / "figures" / "none" / "tiny.yaml"
    path.write_text(
        path.read_text().replace("  fixed: {connections: 4}", f"  parts: {{few: {part}}}\n  fixed: {{}}")
    )
    with pytest.raises(UserError, match=said):
        registry.load_artifact("tiny")


def test_a_workload_that_its_generator_cannot_ask_for_is_told_with_its_place(project: Path) -> None:
    path = project / "workloads" / "wrk" / "names.yaml"
    path.write_text("schema: 1\nname: names\ntitle: Names\ncontent: {kind: zone}\n")
    with pytest.raises(UserError, match=r"names.yaml:4: field content.kind: wrk does not speak dns"):
        registry.load_workload("names", "wrk")


@pytest.mark.parametrize("verb", [["check", "tiny"], ["reproduce", "tiny", "--profile", "smoke"],
                                  ["reproduce", "tiny", "--profile", "smoke", "--dry-run"]])  # fmt: skip
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("metric", "tiny.yaml:15: field panels.0.y: unknown metric 'godput'; did you mean goodput?"),
        ("claims", "claims.yaml:3: field claims.0: claim tiny.one: expected exactly one of"),
        ("published", "published.yaml:7: field venu: unknown field"),
        ("system", "claims.yaml:4: field claims.0.ratio: claim tiny.one: unknown system of tiny 'ngnix'"),
    ],
)
def test_what_drawing_and_judging_need_is_checked_before_anything_is_started(
    project: Path, artifact: Callable[..., None], root_needed: Path, cli: Callable[..., Any], verb: list[str],
    change: str, said: str,
) -> None:  # fmt: skip
    artifact(metric="godput" if change == "metric" else "goodput")
    folder = project / "analysis" / "papers" / "none"
    folder.mkdir(parents=True)
    venue = "venu" if change == "published" else "venue"
    (folder / "published.yaml").write_text(
        f"schema: 1\npaper: none\ntitle: None\nauthor: Nobody\nyear: 2026\n\n{venue}: nowhere\n"
    )
    system = "ngnix" if change == "system" else "nginx"
    rule = f"""ratio: {{of: "goodput('{system}') / goodput('nginx')", at_least: 1, direction: above}}"""
    where = "where: {section: '1', page: 1}"
    (folder / "claims.yaml").write_text(
        "schema: 1\npaper: none\n"
        + ("claims: [{id: tiny.one, artifact: tiny, says: so, " + where + "}]\n" if change == "claims"
           else "claims: [{id: tiny.one, artifact: tiny, says: so, " + where + ",\n" + rule + "}]\n")
    )  # fmt: skip
    done = cli(*verb)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert not root_needed.exists(), "an owner's record was written: something was started"


def test_a_bars_names_are_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stackrig.bench import base

    path = tmp_path / "wrong.yaml"
    path.write_text(
        "schema: 1\nname: wrong\ntitle: W\nbar: 1\nmethod: compair\ncandidate: sandstrom\nmetric: goodputt\n"
        "points: [{file_sise: 64B}]\n"
    )
    monkeypatch.setattr(registry, "bars", lambda: {"wrong": path})
    with pytest.raises(UserError) as error:
        base.load("wrong")
    told = str(error.value)
    assert "wrong.yaml:5: field method: unknown method 'compair'; did you mean compare?" in told
    assert "wrong.yaml:6: field candidate: unknown system 'sandstrom'; did you mean sandstorm" in told
    assert "wrong.yaml:7: field metric: unknown metric 'goodputt'; did you mean goodput?" in told
    assert "wrong.yaml:8: field points.0.file_sise: unknown axis or setting" in told

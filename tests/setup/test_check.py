# SPDX-License-Identifier: Apache-2.0
"""`make test` counts what ran, says why the rest did not, and clang-tidy looks again at what changed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from check import __main__ as check_main
from check import outcome, stages, tidy
from check.outcome import Outcome

GTEST = """<testsuites><testsuite name="S">
<testcase name="Good" status="run" result="completed" classname="S"/>
<testcase name="Off" status="notrun" result="suppressed" classname="S"/>
<testcase name="Skip" status="run" result="skipped" classname="S">
  <skipped message="/src/s_test.cc:12&#x0A;needs root&#x0A;"/></testcase>
{bad}</testsuite></testsuites>"""
BAD = """<testcase name="Bad" status="run" result="completed" classname="S">
<failure message="/src/s_test.cc:20&#x0A;Expected 1" type=""/></testcase>"""


def ctest_junit(folder: Path, **status: str) -> Path:
    tests = "".join(f'<testcase name="{name}" status="{how}"/>' for name, how in status.items())
    file = folder / "ctest.junit"
    file.write_text(f"<testsuite>{tests}</testsuite>")
    return file


def test_cases_are_counted_not_programs(tmp_path: Path) -> None:
    (tmp_path / "s_test.xml").write_text(GTEST.format(bad=BAD))
    read = outcome.read_ctest(ctest_junit(tmp_path, s_test="fail"), tmp_path)
    assert read.passed == 1
    assert read.failed == ["s_test: S.Bad: Expected 1"]
    assert read.skipped == ["s_test: S.Skip: needs root"]


def test_a_program_that_died_is_a_failure_though_its_cases_passed(tmp_path: Path) -> None:
    (tmp_path / "s_test.xml").write_text(GTEST.format(bad=""))
    read = outcome.read_ctest(ctest_junit(tmp_path, s_test="fail", gone_test="fail"), tmp_path)
    assert [name.split(":")[0] for name in read.failed] == ["s_test", "gone_test"]


def test_a_program_that_was_not_built_is_a_failure(tmp_path: Path) -> None:
    assert outcome.read_ctest(ctest_junit(tmp_path, s_test="notrun"), tmp_path).failed


def test_a_test_that_is_no_googletest_program_counts_as_one(tmp_path: Path) -> None:
    assert outcome.read_ctest(ctest_junit(tmp_path, script="run"), tmp_path).counts == "1 passed, 0 failed"


def test_the_last_line_is_the_sum_and_the_exit_code_follows_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(stages.STAGES, "unit", lambda: Outcome(passed=3, skipped=["a: no reason"]))
    monkeypatch.setitem(stages.STAGES, "lint", lambda: Outcome(passed=1, failed=["ruff: see above"]))
    monkeypatch.setattr(sys, "argv", ["check", "unit", "lint"])
    assert check_main.main() == 1
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "4 passed, 1 failed, 1 skipped"
    assert "ruff: see above" in said


def test_stages_that_need_a_build_do_not_run_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(stages.STAGES, "build", lambda: Outcome(failed=["build: broken"]))
    monkeypatch.setitem(stages.STAGES, "unit", lambda: pytest.fail("ran"))
    results = check_main.run_stages(["build", "unit"])
    assert results["unit"][1].failed == ["unit: not run, because build failed"]


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "deep.h").write_text("int deep();\n")
    (tmp_path / "lib" / "near.h").write_text('#include "lib/deep.h"\n')
    (tmp_path / "a.cc").write_text('#include <vector>\n#include "lib/near.h"\n')
    (tmp_path / ".clang-tidy").write_text("Checks: '-*'\n")
    yield tmp_path
    tidy._includes.cache_clear()


def unit(tree: Path, *flags: str) -> tidy.Unit:
    command = ["ccache", "c++", "-I", str(tree), *flags, "-flto=auto", "-o", "a.o", "-c", "a.cc"]
    database = tree / "compile_commands.json"
    database.write_text(json.dumps([{"directory": str(tree), "file": "a.cc", "arguments": command}]))
    (only,) = tidy.read_units(database, tree)
    return only


def test_clang_gets_the_flags_it_knows(tree: Path) -> None:
    assert unit(tree, "-DX=1").flags == ("-Wno-unknown-warning-option", "-I", str(tree), "-DX=1")


@pytest.mark.parametrize("changed", ["a.cc", "lib/near.h", "lib/deep.h", ".clang-tidy"])
def test_tidy_looks_again_when_what_it_saw_changed(tree: Path, changed: str) -> None:
    before = tidy.fingerprint(unit(tree), tree, "v1")
    tidy._includes.cache_clear()
    assert tidy.fingerprint(unit(tree), tree, "v1") == before
    (tree / changed).write_text((tree / changed).read_text() + "\n// more\n")
    tidy._includes.cache_clear()
    assert tidy.fingerprint(unit(tree), tree, "v1") != before


def test_tidy_looks_again_with_another_tool_or_other_flags(tree: Path) -> None:
    before = tidy.fingerprint(unit(tree), tree, "v1")
    assert tidy.fingerprint(unit(tree), tree, "v2") != before
    assert tidy.fingerprint(unit(tree, "-DX=2"), tree, "v1") != before

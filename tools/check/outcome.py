# SPDX-License-Identifier: Apache-2.0
"""What a stage found, and how to read it from the result files of GoogleTest, ctest and pytest."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree


@dataclass
class Outcome:
    """Counts of one stage. A name in `failed` or `skipped` comes with its reason, as far as it is known."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    @property
    def counts(self) -> str:
        text = f"{self.passed} passed, {len(self.failed)} failed"
        return text + (f", {len(self.skipped)} skipped" if self.skipped else "")


def _reason(element: ElementTree.Element) -> str:
    text = element.get("message") or element.text or ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # GoogleTest puts FILE:LINE on a line before what the test said.
    if len(lines) > 1 and ":" in lines[0] and " " not in lines[0]:
        lines = lines[1:]
    return lines[0] if lines else "no reason given"


def read_cases(file: Path, prefix: str = "") -> Outcome:
    """The test cases of one JUnit-like file: GoogleTest's XML or pytest's."""
    outcome = Outcome()
    for case in ElementTree.parse(file).iter("testcase"):
        name = f"{prefix}{case.get('classname', '')}.{case.get('name', '')}"
        broken = [*case.iter("failure"), *case.iter("error")]
        skipped = case.find("skipped")
        if broken:
            outcome.failed.append(f"{name}: {_reason(broken[0])}")
        elif skipped is not None:
            outcome.skipped.append(f"{name}: {_reason(skipped)}")
        elif case.get("result") != "suppressed":
            outcome.passed += 1
    return outcome


def read_ctest(junit: Path, gtest_folder: Path) -> Outcome:
    """ctest's verdict on each program, told in the cases that GoogleTest says it ran.

    A program that died before it could write its cases, or failed after them, is one failure of its own.
    """
    outcome = Outcome()
    for test in ElementTree.parse(junit).iter("testcase"):
        name, status = test.get("name", ""), test.get("status", "")
        file = gtest_folder / f"{name}.xml"
        cases = read_cases(file, f"{name}: ") if file.exists() and file.stat().st_size else Outcome()
        if status in ("fail", "notrun") and not cases.failed:
            cases.failed.append(f"{name}: {_ctest_reason(test)}")
        elif status == "disabled" or (status == "run" and test.find("skipped") is not None):
            cases.skipped.append(f"{name}: disabled")
        elif not file.exists() and status == "run":
            cases.passed += 1
        outcome.add(cases)
    return outcome


def _ctest_reason(test: ElementTree.Element) -> str:
    failure = test.find("failure")
    text = (failure.get("message") or "") if failure is not None else ""
    output = test.findtext("system-out") or ""
    last = [line for line in output.splitlines() if line.strip()][-1:]
    return "; ".join([text or "did not run", *last]) if text or last else "did not run"

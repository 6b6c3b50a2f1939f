# SPDX-License-Identifier: Apache-2.0
"""Interface tables (table-3.1): does every published function exist, and does a test that passes use it?

A name counts as the table's where it differs by C++ style only: case and underscores.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from stackrig import paths
from stackrig.claims.verdict import Finding, Outcome, Verdict
from stackrig.model.base import Model
from stackrig.model.paper import Claim, Table


class Scope(Model):
    """`interface:` of an artifact: where the functions and their tests are looked for."""

    table: str
    suite: str
    headers: list[str]
    tests: list[str]
    helpers: list[str] = []  # what the tests share: a test named after a function may call it through these


class Function(Model):
    """What was found of one published function."""

    name: str
    parameters: str = ""
    description: str = ""
    declared: str = ""  # file:line
    tests: list[str] = []  # suite.test whose body calls it
    sources: list[str] = []  # file:line of those
    result: str = "not built"  # passed, failed, skipped, not built
    reason: str = ""


class Interface(Model):
    """interface.json of a run: the published table, function by function."""

    table: str
    build: str = ""  # the build whose tests were run
    checked: str = ""  # when
    functions: list[Function]


# Looking --------------------------------------------------------------------------------------------------


def check(scope: Scope, table: Table, repository: Path, build: Path) -> Interface:
    """Looks the table's functions up in headers and tests, and runs the tests that use them."""
    headers = list(_files(repository, scope.headers))
    bodies = list(_tests(repository, scope))
    shared = "\n".join(_code(path.read_text(encoding="utf-8")) for path in _files(repository, scope.helpers))
    sources = {(repository / place.rsplit(":", 1)[0]).resolve() for _, place, _ in bodies}
    results = _run(scope.suite, _programs(sources, build)) if bodies else {}
    functions = []
    for row in table.rows:
        name = row[0].split("(")[0].strip()
        helped = _calls(shared, name)
        using = [
            (test, place)
            for test, place, body in bodies
            if _calls(body, name) or (helped and _named_after(test, name))
        ]
        result, reason = _result([results.get(test) for test, _ in using])
        functions.append(
            Function(
                name=name,
                parameters=row[1],
                description=row[2],
                declared=next(_declarations(repository, headers, name), ""),
                tests=[test for test, _ in using],
                sources=[place for _, place in using],
                result=result,
                reason=reason,
            )
        )
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Interface(table=scope.table, build=paths.shown(build), checked=now, functions=functions)


def _files(repository: Path, patterns: Sequence[str]) -> Iterator[Path]:
    for pattern in patterns:
        yield from sorted(repository.glob(pattern))


def _pattern(name: str) -> re.Pattern[str]:
    """`netmap_init` as netmap_init, NetmapInit or netmapInit, before a parenthesis."""
    return re.compile(r"(?<![\w])" + "_?".join(map(re.escape, name.split("_"))) + r"\s*\(", re.IGNORECASE)


def _calls(body: str, name: str) -> bool:
    return bool(_pattern(name).search(body))


def _named_after(test: str, name: str) -> bool:
    """`Table31.tcp_accept_lets_...` is about tcp_accept."""
    own = test.split(".")[-1]
    return bool(re.match("_?".join(map(re.escape, name.split("_"))) + r"(?![a-z0-9])", own, re.IGNORECASE))


def _declarations(repository: Path, headers: Sequence[Path], name: str) -> Iterator[str]:
    for path in headers:
        if found := _pattern(name).search(text := _code(path.read_text(encoding="utf-8"))):
            yield f"{path.relative_to(repository)}:{text.count(chr(10), 0, found.start()) + 1}"


def _code(text: str) -> str:
    """C++ without comments and string literals, line for line: a name in a comment declares nothing."""

    def blank(found: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", found[0])

    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.DOTALL)


def _tests(repository: Path, scope: Scope) -> Iterator[tuple[str, str, str]]:
    """The suite's tests: name, place, body."""
    head = re.compile(rf"\bTEST(?:_F|_P)?\s*\(\s*({re.escape(scope.suite)})\s*,\s*(\w+)\s*\)\s*\{{")
    for path in _files(repository, scope.tests):
        text = _code(path.read_text(encoding="utf-8"))
        for found in head.finditer(text):
            place = f"{path.relative_to(repository)}:{text.count(chr(10), 0, found.start()) + 1}"
            yield f"{found[1]}.{found[2]}", place, text[found.end() : _closing(text, found.end())]


def _closing(text: str, start: int) -> int:
    depth = 1
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    return len(text)


# Running --------------------------------------------------------------------------------------------------


def _run(suite: str, programs: Sequence[Path]) -> dict[str, tuple[str, str]]:
    """Results of the suite's tests in the programs: name → passed, failed or skipped, and why."""
    results: dict[str, tuple[str, str]] = {}
    for program in programs:
        listing = _call([str(program), "--gtest_list_tests", f"--gtest_filter={suite}.*"], program.parent)
        if listing is None or not listing.stdout.strip():
            continue
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.json"
            command = [str(program), f"--gtest_filter={suite}.*", f"--gtest_output=json:{report}"]
            if _call(command, program.parent) is not None and report.exists():
                results |= _read(json.loads(report.read_text(encoding="utf-8")))
    return results


def _programs(sources: set[Path], build: Path) -> list[Path]:
    """The test programs made from these sources, brought up to date; none where the build was not
    configured. One that cannot be built now is left out: its tests are not checked."""
    configured = (build / "CMakeCache.txt").exists()
    if configured:  # a test that was added since is unknown until then
        _call(["cmake", str(build)], build)
    try:
        entries = json.loads((build / "compile_commands.json").read_bytes())
    except (OSError, ValueError):
        return []
    found: dict[str, Path] = {}
    for entry in entries:
        place = re.search(r" -o (?:(\S*)/)?CMakeFiles/([^/]+)\.dir/", entry.get("command", ""))
        if place and Path(entry["file"]).resolve() in sources:
            found[place[2]] = build / (place[1] or ".") / place[2]
    if found and configured:
        _call(["cmake", "--build", str(build), "--target", *found, "--", "-k", "0"], build, seconds=900)
    return [program for program in found.values() if program.is_file()]


def _call(command: list[str], folder: Path, seconds: float = 120) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _read(report: dict[str, object]) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    suites = report.get("testsuites", [])
    for suite in suites if isinstance(suites, list) else []:
        for test in suite.get("testsuite", []):
            failures = [failure.get("failure", "") for failure in test.get("failures", [])]
            skipped = [skip.get("message", "") for skip in test.get("skipped", [])]
            name = f"{suite['name']}.{test['name']}"
            if failures:
                found[name] = ("failed", failures[0].strip().splitlines()[-1])
            elif skipped or test.get("result") == "SKIPPED":
                found[name] = ("skipped", (skipped or [""])[0].strip().splitlines()[-1] if skipped else "")
            else:
                found[name] = ("passed", "")
    return found


def _result(found: Sequence[tuple[str, str] | None]) -> tuple[str, str]:
    """Of several tests that use a function: a failure first, then a pass."""
    known = [one for one in found if one is not None]
    for wanted in ("failed", "passed", "skipped"):
        for result, reason in known:
            if result == wanted:
                return result, reason
    return "not built", "no built test program lists the test"


# Judging --------------------------------------------------------------------------------------------------


def judge_interface(claim: Claim, interface: Interface | None) -> list[Verdict]:
    """One verdict per function of the table."""
    if interface is None:
        return [Verdict(claim, Finding(Outcome.NOT_CHECKED, "the interface has not been looked at"))]
    return [
        Verdict(
            claim,
            _finding(function),
            id=f"{claim.id}.{function.name}",
            says=f"{function.name} ({_parameters(function)}) {function.description}",
            extra={"function": function.model_dump(mode="json")},
        )
        for function in interface.functions
    ]


def _parameters(function: Function) -> str:
    return "" if function.parameters == "none" else function.parameters


def _finding(function: Function) -> Finding:
    if not function.declared:
        return Finding(Outcome.CONTRADICTED, f"no header declares {function.name}")
    if not function.tests:
        return Finding(Outcome.CONTRADICTED, f"declared in {function.declared}, but no test uses it")
    where = f"declared in {function.declared}; {', '.join(function.tests)}"
    tail = f": {function.reason}" if function.reason else ""
    if function.result == "failed":
        return Finding(Outcome.CONTRADICTED, f"{where} failed{tail}")
    if function.result == "passed":
        return Finding(Outcome.CONFIRMED, f"{where} passed")
    return Finding(Outcome.NOT_CHECKED, f"{where} {function.result}{tail}")

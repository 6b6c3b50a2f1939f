# SPDX-License-Identifier: Apache-2.0
"""The correctness gate lets a server pass that is right, and finds each way to be wrong. On loopback, no root."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stackrig import content
from stackrig.content import File
from stackrig.gate import http as gate
from stackrig.gate.report import Report
from stackrig.gateway.host import Host

SERVER = Path(__file__).with_name("lying_server.py")
FILES = [File("f5000", 5000), File("f64", 64), File("f100000", 100_000)]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    found = Host("here", [])
    yield found
    found.close()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return content.lay_out([*gate.PROBES, *FILES], tmp_path_factory.mktemp("root"))


@contextmanager
def serving(root: Path, lie: str = "") -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(SERVER), "127.0.0.1", str(port), str(root), lie])
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def reference(host: Host, root: Path) -> list[gate.Asked]:
    """The honest server's answers stand for the baseline's."""
    with serving(root) as port:
        return gate.ask(host, "127.0.0.1", port, gate.cases(FILES))


def judged(host: Host, root: Path, reference: list[gate.Asked], lie: str) -> Report:
    cases = gate.cases(FILES)
    with serving(root, lie) as port:
        report = gate.judge(cases, gate.ask(host, "127.0.0.1", port, cases), root, reference)
        if "date" in lie or not lie:
            gate.judge_date(report, gate.ask_date(host, "127.0.0.1", port))
    return report


def test_a_difference_that_is_described_is_told_and_is_no_fault(
    host: Host, root: Path, reference: list[gate.Asked]
) -> None:
    cases = gate.cases(FILES)
    asked = list(reference)
    at = next(i for i, case in enumerate(cases) if case.name == "an unknown version")
    asked[at] = reference[0]  # answered 200
    assert len(gate.judge(cases, asked, root, reference).findings) == 1
    report = gate.judge(cases, asked, root, reference, {"an unknown version": "of a reason"})
    assert report.findings == []
    assert "an unknown version: not compared with a baseline's, because of a reason" in report.skipped


def test_a_server_that_is_right_passes(host: Host, root: Path, reference: list[gate.Asked]) -> None:
    report = judged(host, root, reference, "")
    assert report.findings == []
    assert report.checked > 40
    assert 60 < report.header_bytes < 400


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ("truncates", "bytes of body"),
        ("one file for all paths", "bytes of body, got 777"),
        ("garbles the second answer", "differs from the file's bytes"),
        ("no 404", "expected status 404"),
        ("frozen date", "did not advance"),
        ("no date", "expected an RFC 9110 date, got None"),
        ("body to HEAD", "HEAD"),
        ("wrong length to HEAD", "Content-Length"),
        ("ignores close", "expected the connection closed, found it open"),
        ("closes always", "answers on one connection, got 1"),
        ("says more than it should", "found it more"),
    ],
)
def test_a_server_that_lies_is_found_out(
    host: Host, root: Path, reference: list[gate.Asked], lie: str, said: str
) -> None:
    report = judged(host, root, reference, lie)
    assert not report.ok
    assert said in "; ".join(report.findings)


def test_a_path_that_is_ignored_is_found_by_files_of_one_size(
    host: Host, root: Path, reference: list[gate.Asked]
) -> None:
    cases = [case for case in gate.cases([]) if case.name == "one path after another"]
    with serving(root, "one file for all paths") as port:
        report = gate.judge(cases, gate.ask(host, "127.0.0.1", port, cases), root, None)
    assert any("differs from the file's bytes" in finding for finding in report.findings)


def test_a_server_that_is_not_there(host: Host, root: Path) -> None:
    cases = gate.cases(FILES)
    report = gate.judge(cases, gate.ask(host, "127.0.0.1", 1, cases[:1]) * len(cases), root, None)
    assert not report.ok
    assert report.skipped == ["answers were not compared with a baseline's: none was there"]


def test_content_is_the_same_everywhere_and_differs_by_name() -> None:
    assert content.bytes_of(File("a", 5000)) == content.bytes_of(File("a", 5000))
    assert content.bytes_of(File("a", 5000)) != content.bytes_of(File("b", 5000))
    assert len(content.bytes_of(File("a", 0))) == 0


def test_the_corpus_is_the_cdns() -> None:
    sizes = sorted(file.size for file in content.corpus(1000, 2018))
    assert sum(size < 25_000 for size in sizes) == 900
    assert sizes[0] >= 2 << 10
    assert 15 << 20 < sizes[-1] <= 20 << 20
    assert content.corpus(1000, 1) != content.corpus(1000, 2)

# SPDX-License-Identifier: Apache-2.0
"""The DNS gate lets a server pass that says what the baselines say, and finds each way to be wrong. No root."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stackrig import registry, zones
from stackrig.gate import dns as gate
from stackrig.gate import dns_corpus, dns_run
from stackrig.gate.dns_run import DnsGate
from stackrig.gate.report import Report
from stackrig.gateway.host import Host
from stackrig.server import ServerError, ServerPlan
from stackrig.session import Corpus
from stackrig.testbed.wiring import Wiring
from stackrig.zones import Zone

SERVER = Path(__file__).with_name("lying_name_server.py")
ENTRIES = 200
MADE = dns_corpus.zones()
QUESTIONS = dns_corpus.questions(MADE, 150)
ODD = dns_corpus.odd_messages(MADE)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    found = Host("here", [])
    yield found
    found.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> list[Zone]:
    folder = tmp_path_factory.mktemp("zones")
    zones.lay_out(ENTRIES, folder)
    return [*dns_corpus.lay_out(folder), zones.bench_zone(folder)]


@contextmanager
def serving(served: list[Zone], lie: str = "") -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [f"{zone.origin}={zone.file}" for zone in served]
    process = subprocess.Popen([sys.executable, str(SERVER), "127.0.0.1", str(port), *words, f"lie={lie}"])
    try:
        for _ in range(400):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


def asked(host: Host, port: int) -> tuple[gate.Asked, list[bytes | None]]:
    messages = [q.message(number) for number, q in enumerate(gate.bench_questions(ENTRIES))]
    bench = host.call("datagrams", address="127.0.0.1", port=port, messages=messages)
    return gate.ask(host, "127.0.0.1", port, QUESTIONS, ODD), bench


@pytest.fixture(scope="module")
def reference(host: Host, served: list[Zone]) -> gate.Asked:
    """The honest server's answers stand for the baselines'."""
    with serving(served) as port:
        return asked(host, port)[0]


def judged(host: Host, served: list[Zone], reference: gate.Asked, lie: str) -> Report:
    with serving(served, lie) as port:
        said, bench = asked(host, port)
    report = gate.judge(QUESTIONS, ODD, said, {"reference": reference})
    gate.judge_bench(report, ENTRIES, bench)
    return report


def test_an_honest_server_passes(host: Host, served: list[Zone], reference: gate.Asked) -> None:
    report = judged(host, served, reference, "")
    assert report.findings == []
    assert report.checked > len(QUESTIONS) + len(ODD) + gate.SAMPLE
    assert reference.stream, "some answers were truncated and asked for again over TCP"


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        ("another TTL", "answer: got"),
        ("no AA", "flags: got"),
        ("no SOA", "authority: got nothing"),
        ("no NXDOMAIN", "rcode: got 0"),
        ("lower-case question", "the question's bytes are not those that were sent"),
        ("silent over TCP", "over TCP: no answer"),
    ],
)
def test_each_way_to_be_wrong_is_found(
    host: Host, served: list[Zone], reference: gate.Asked, lie: str, told: str
) -> None:
    report = judged(host, served, reference, lie)
    assert any(told in finding for finding in report.findings), report.told()


def test_no_answer_is_a_finding(reference: gate.Asked) -> None:
    silent = gate.Asked([None] * len(QUESTIONS), {}, [None] * len(ODD))
    report = gate.judge(QUESTIONS, ODD, silent, {"reference": reference})
    assert len([f for f in report.findings if f.endswith("no answer")]) >= len(QUESTIONS)


def test_where_baselines_differ_either_is_right() -> None:
    question = dns_corpus.Question("a.test")
    head = question.message(0)
    refused, failed = (head[:2] + bytes([0x80, rcode]) + head[4:] for rcode in (5, 2))
    theirs = {"one": gate.Asked([refused], {}, []), "other": gate.Asked([failed], {}, [])}
    for said in (refused, failed):
        assert gate.judge([question], [], gate.Asked([said], {}, []), theirs).ok
    other = head[:2] + bytes([0x80, 0]) + head[4:]
    assert not gate.judge([question], [], gate.Asked([other], {}, []), theirs).ok


# --- content under load


def test_a_zone_of_any_size_has_queries_of_one_length(tmp_path: Path) -> None:
    zones.lay_out(1, tmp_path / "one")
    zones.lay_out(1000, tmp_path / "many")
    lines = [(tmp_path / size / "queries.txt").read_text().splitlines() for size in ("one", "many")]
    assert {len(line) for every in lines for line in every} == {len("h0000000.bench.test A")}
    assert len(set(lines[1])) == 1000
    assert len((tmp_path / "many" / "expected.txt").read_text().splitlines()) == 1000


def test_expectations_are_digests_of_what_the_zone_says() -> None:
    # By hand: SHA-256 over owner, type, class, TTL, length and address of the one record.
    owner = b"\x08h0000003\x05bench\x04test\x00"
    record = owner + bytes([0, 1, 0, 1, 0, 0, 0x0E, 0x10, 0, 4, 10, 0, 0, 3])
    assert zones.digest([record]) == zones.answer_digest(3)


def test_the_sample_has_both_ends_and_no_name_twice() -> None:
    for entries in (1, 2, 64, 10_000):
        found = gate.sampled(entries)
        assert found[0] == 0
        assert found[-1] == entries - 1
        assert len(set(found)) == len(found) == min(entries, gate.SAMPLE)


# --- the baselines


def test_a_broken_baseline_is_not_the_failure_of_the_system_under_test(
    monkeypatch: pytest.MonkeyPatch, reference: gate.Asked
) -> None:
    made = DnsGate(None)  # type: ignore[arg-type]
    asked = gate.Asked([None] * len(QUESTIONS), {}, [None] * len(ODD))

    def ask(name: str) -> gate.Asked:
        if name == gate.REFERENCES[0]:
            raise ServerError(f"{name} died with exit code 1", "its log")
        return reference

    monkeypatch.setattr(dns_run, "wanted", lambda: dns_run.Wanted(tuple(QUESTIONS), tuple(ODD)))
    monkeypatch.setattr(made, "_ask_reference", ask)
    monkeypatch.setattr(made, "_zones", list)
    monkeypatch.setattr(made, "_ask", lambda *_: (asked, [None] * len(gate.bench_questions(1))))
    system, variant = registry.resolve_system("namestorm")
    plan = ServerPlan(system, variant, {}, "afxdp", [0], "")
    report = made.run(plan, Wiring(), Corpus(Path(), [], 1))
    first = gate.REFERENCES[0]
    assert report.skipped == [f"answers were not compared with {first}'s: {first} died with exit code 1"]
    assert any("no answer" in finding for finding in report.findings)

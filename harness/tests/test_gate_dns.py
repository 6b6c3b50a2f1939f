# SPDX-License-Identifier: Apache-2.0
"""The DNS gate lets a server pass that says what the baselines say, and finds each way to be wrong. No root."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from stackrig import registry, zones
from stackrig.gate import dns as gate
from stackrig.gate import dns_corpus, dns_odd, dns_peers, dns_signing
from stackrig.gate.dns_run import DnsGate
from stackrig.gate.report import Report
from stackrig.gateway.host import Host
from stackrig.server import ServerError, ServerPlan
from stackrig.session import Corpus, Session
from stackrig.testbed.wiring import Wiring
from stackrig.zones import Zone
from tests import dns_answers

SERVER = Path(__file__).with_name("lying_name_server.py")
ENTRIES = 200
MADE = dns_corpus.zones()
QUESTIONS = dns_corpus.questions(MADE, 150)
ODD = dns_odd.messages(MADE)
WANTED = gate.Wanted(
    tuple(QUESTIONS), tuple(ODD), dns_odd.behind(MADE), frozenset(f"{zone.origin}." for zone in MADE)
)


SILENT = gate.Asked([None] * len(QUESTIONS), [None] * len(QUESTIONS), [None] * len(ODD))


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    found = Host("here", [])
    yield found
    found.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> list[Zone]:
    folder = tmp_path_factory.mktemp("zones")
    zones.lay_out(ENTRIES, folder)
    unsigned = [replace(zone, signing=None) for zone in MADE]  # the server there does not know of proofs
    return [*dns_corpus.lay_out(folder, unsigned)[0], zones.bench_zone(folder)]


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
    return gate.ask(host, "127.0.0.1", port, WANTED), bench


@pytest.fixture(scope="module")
def reference(host: Host, served: list[Zone]) -> dns_peers.Said:
    """The honest server's answers stand for the baselines'."""
    with serving(served) as port:
        return gate.learn(host, "127.0.0.1", port, WANTED, follows=False)


def judged(host: Host, served: list[Zone], reference: dns_peers.Said, lie: str) -> Report:
    with serving(served, lie) as port:
        said, bench = asked(host, port)
    report = gate.judge(WANTED, said, {"reference": reference})
    gate.judge_bench(report, ENTRIES, bench)
    return report


def test_an_honest_server_passes(host: Host, served: list[Zone], reference: dns_peers.Said) -> None:
    report = judged(host, served, reference, "")
    assert report.findings == []
    assert report.skipped == []
    assert report.checked == 2 * len(QUESTIONS) + len(ODD) + gate.SAMPLE + 1
    assert any(answer is not None and answer.is_cut for answer in reference.plain), (
        "some are truncated over UDP"
    )


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        ("another TTL", "answer: got"),
        ("no AA", "flags: got"),
        ("no SOA", "authority: got nothing"),
        ("no NXDOMAIN", "rcode: got 0"),
        ("lower-case question", "the question's bytes are not those that were sent"),
        ("no question", "QDCOUNT is 0"),
        ("another opcode", "the opcode is 2"),
        ("Z", "the Z bit is set"),
        ("no QR", "the QR bit is not set"),
        ("odd without QR", "opcode 1: the QR bit of the answer is not set"),
        ("odd with opcode 0", "opcode 1: the opcode of the answer is 0, not 1"),
        ("silent to odd", "opcode 1: expected rcode 4, got no answer"),
        ("cut", "expected reference"),
        ("silent over TCP", "over TCP: no answer"),
    ],
)
def test_each_way_to_be_wrong_is_found(
    host: Host, served: list[Zone], reference: dns_peers.Said, lie: str, told: str
) -> None:
    report = judged(host, served, reference, lie)
    assert any(told in finding for finding in report.findings), report.told()


def test_no_answer_is_a_finding(reference: dns_peers.Said) -> None:
    report = gate.judge(WANTED, SILENT, {"reference": reference})
    assert len([f for f in report.findings if f.endswith("no answer")]) >= 2 * len(QUESTIONS)
    assert len([f for f in report.findings if f.endswith("nor the query behind it was answered")]) == len(ODD)


# --- baselines that said nothing


def test_what_no_baseline_answered_is_told_with_names_and_counts() -> None:
    question = dns_corpus.Question("x.a.test")
    right = dns_answers.reply(question, ("x.a.test. 60 IN A 192.0.2.1",))
    report = dns_answers.judged(question, (right, right), nsd=(None, right), knot=(None, None))
    assert report.ok
    assert report.skipped == [
        "1 answers of nsd did not come and were not compared with: x.a.test A",
        "2 answers of knot did not come and were not compared with: x.a.test A; x.a.test A over TCP",
    ]
    assert report.checked == 2, "over UDP it is the same as over TCP"

    report = dns_answers.judged(question, (right, right), nsd=(None, None))
    assert report.ok
    assert report.checked == 0
    assert "2 answers were not compared, as no baseline gave one that can be read: " in report.skipped[0]


def test_a_baselines_answer_that_cannot_be_read_is_none_and_is_told() -> None:
    question = dns_corpus.Question("x.a.test")
    right = dns_answers.reply(question, ("x.a.test. 60 IN A 192.0.2.1",))
    broken = right[:-3]
    report = dns_answers.judged(question, (right, right), nsd=(broken, right), knot=(right, right))
    assert report.ok
    assert report.skipped == ["1 answers of nsd cannot be read and were not compared with: x.a.test A"]
    assert "cannot be read" in dns_answers.judged(question, (broken, right), nsd=(right, right)).told()


# --- odd messages


ONE = dns_odd.Odd("one", bytes([0x40, 7, 0x10, 0]) + bytes(8))  # opcode 2
FORMERR, NOTIMP = (bytes([0x40, 7, 0x90, rcode]) + bytes(8) for rcode in (1, 4))


def odd(said: bytes | None, **theirs: bytes | None) -> Report:
    report = Report()
    dns_odd.judge(report, [ONE], [said], {name: [answer] for name, answer in theirs.items()})
    return report


def test_odd_messages_have_ids_of_their_own() -> None:
    ids = [case.message[:2] for case in ODD]
    assert len(set(ids)) == len(ids)
    assert all(dns_odd.FIRST_ID <= int.from_bytes(one, "big") < 0x8000 for one in ids), (
        "apart from those behind them"
    )


def test_silence_is_right_only_where_a_baseline_is_known_to_be_silent() -> None:
    assert odd(dns_odd.SILENCE, nsd=NOTIMP, knot=dns_odd.SILENCE).ok
    lost = odd(dns_odd.SILENCE, nsd=NOTIMP, knot=None)
    assert lost.findings == ["one: expected rcode 4, got no answer"]


def test_who_does_not_answer_what_comes_after_an_odd_message_is_wrong() -> None:
    assert "nor the query behind it" in odd(None, nsd=dns_odd.SILENCE).told()


def test_where_every_baseline_is_lost_the_message_is_told_as_skipped() -> None:
    report = odd(NOTIMP, nsd=None, knot=b"short")
    assert report.ok
    assert report.checked == 0
    assert report.skipped == [
        "1 odd messages were not compared, as no baseline said anything to them: one",
    ]


def test_an_answer_to_an_odd_message_is_one_to_it() -> None:
    assert odd(FORMERR, nsd=FORMERR).ok
    assert not odd(FORMERR, nsd=NOTIMP).ok
    for wrong in (
        b"\x40\x08" + FORMERR[2:],
        FORMERR[:2] + b"\x10" + FORMERR[3:],
        FORMERR[:2] + b"\x80" + FORMERR[3:],
    ):
        assert not odd(wrong, nsd=FORMERR).ok
    assert not odd(FORMERR[:11], nsd=FORMERR).ok


def test_the_upper_bits_of_an_rcode_count() -> None:
    question = dns_corpus.Question("x.a.test", edns=True)
    case = dns_odd.Odd("EDNS version 1", question.message(0))
    badvers, plain = (dns_answers.reply(question, rcode=rcode) for rcode in ("BADVERS", "NOERROR"))
    report = Report()
    dns_odd.judge(report, [case], [plain], {"nsd": [badvers]})
    assert report.findings == ["EDNS version 1: expected rcode 16, got rcode 0"]


# --- the corpus


def test_a_seed_makes_zones_and_questions() -> None:
    assert dns_corpus.zones(7) == dns_corpus.zones(7) != dns_corpus.zones(8)
    assert (
        dns_corpus.questions(MADE, 50, 7)
        == dns_corpus.questions(MADE, 50, 7)
        != dns_corpus.questions(MADE, 50, 8)
    )
    first, second = DnsGate(None, 7).wanted, DnsGate(None, 8).wanted  # type: ignore[arg-type]
    assert first.questions != second.questions
    assert len(first.questions) >= 3000
    assert DnsGate(None).seed == dns_corpus.SEED  # type: ignore[arg-type]


def test_questions_are_of_every_type_and_some_want_signatures() -> None:
    asked = dns_corpus.questions(MADE)
    assert {question.type for question in asked} == set(dns_corpus.TYPES.values())
    assert sum(question.dnssec_ok for question in asked) > 500


@pytest.mark.skipif(bool(dns_signing.lacking()), reason="needs ldns-keygen and ldns-signzone: ./bootstrap")
def test_zones_are_signed_with_nsec_and_with_nsec3(tmp_path: Path) -> None:
    found, skipped = dns_corpus.lay_out(tmp_path, MADE)
    assert skipped == []
    texts = {zone.origin: Path(zone.file).read_text() for zone in found}
    for zone in MADE:
        types = {word for word in ("NSEC", "NSEC3", "RRSIG") if f"\t{word}\t" in texts[zone.origin]}
        denial = "NSEC" if zone.signing == () else "NSEC3"
        assert types == (set() if zone.signing is None else {denial, "RRSIG"}), zone.origin
    assert any("-p" in (zone.signing or ()) for zone in MADE), "one with opt-out"


def test_without_the_tool_unsigned_zones_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_signing, "TOOLS", ("no-such-tool",))
    found, skipped = dns_corpus.lay_out(tmp_path, MADE)
    many = sum(zone.signing is not None for zone in MADE)
    assert len(found) == len(MADE)
    assert skipped == [
        f"signed zones: {many} of {len(MADE)} zones were asked for unsigned: no-such-tool not found"
    ]


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


# --- a session's gate


def planned() -> ServerPlan:
    system, variant = registry.resolve_system("namestorm")
    return ServerPlan(system, variant, "dns", {}, "afxdp", [0], "")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> DnsGate:
    """Asks the few questions of these tests, and nobody is there to be asked."""
    found = DnsGate(None)  # type: ignore[arg-type]
    found.__dict__["wanted"] = WANTED
    found.__dict__["_served"] = ([], ["signed zones: not today"])
    monkeypatch.setattr(
        found, "_ask", lambda *_: (SILENT, {"10.0.0.1": [None] * len(gate.bench_questions(1))})
    )
    return found


def test_a_broken_baseline_is_not_the_failure_of_the_system_under_test(
    monkeypatch: pytest.MonkeyPatch, made: DnsGate, reference: dns_peers.Said
) -> None:
    def ask(name: str) -> dns_peers.Said:
        if name == gate.REFERENCES[0]:
            raise ServerError(f"{name} died with exit code 1", "its log")
        return reference

    monkeypatch.setattr(made, "_ask_reference", ask)
    report = made.run(planned(), Wiring(), Corpus(Path(), [], 1))
    first = gate.REFERENCES[0]
    assert report.skipped == [
        f"answers were not compared with {first}'s: {first} died with exit code 1",
        "signed zones: not today",
    ]
    assert any("no answer" in finding for finding in report.findings)


def test_what_single_answers_lacked_is_still_told_where_a_baseline_is_broken(
    monkeypatch: pytest.MonkeyPatch, made: DnsGate, reference: dns_peers.Said
) -> None:
    def ask(name: str) -> dns_peers.Said:
        if name == gate.REFERENCES[0]:
            raise ServerError(f"{name} died with exit code 1", "its log")
        return replace(reference, plain=[None, *reference.plain[1:]])

    monkeypatch.setattr(made, "_ask_reference", ask)
    report = made.run(planned(), Wiring(), Corpus(Path(), [], 1))
    assert any("1 answers of knot did not come" in told for told in report.skipped)
    assert any("died with exit code 1" in told for told in report.skipped)


def test_the_seed_is_kept_with_the_report(made: DnsGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "_answers_of_references", dict)
    assert made.run(planned(), Wiring(), Corpus(Path(), [], 1)).as_json()["seed"] == dns_corpus.SEED


def test_every_nic_is_judged(
    monkeypatch: pytest.MonkeyPatch, made: DnsGate, host: Host, served: list[Zone]
) -> None:
    with serving(served) as port:
        right = asked(host, port)[1]
    wrong = [*right[:3], None, *right[4:]]
    monkeypatch.setattr(made, "_answers_of_references", dict)
    for bad in ("10.0.0.1", "10.0.1.1"):
        bench = {where: wrong if where == bad else right for where in ("10.0.0.1", "10.0.1.1")}
        monkeypatch.setattr(made, "_ask", lambda *_, bench=bench: (SILENT, bench))
        report = made.run(planned(), Wiring(nics=2), Corpus(Path(), [], ENTRIES))
        ours = [finding for finding in report.findings if " at 10." in finding]
        assert len(ours) == 1
        assert f" at {bad}: no answer" in ours[0]


def test_after_a_gateway_was_lost_the_gate_serves_files_that_are_there(root_needed: Path) -> None:
    """A new testbed has a folder of its own, and new keys: what references said of the old ones is asked again."""
    with Session() as session:
        before = session._dns_gate
        assert all(Path(zone.file).exists() for zone in before._served[0])
        session.renew()
        assert session._dns_gate is not before
        assert all(Path(zone.file).exists() for zone in session._dns_gate._served[0])
        assert not any(Path(zone.file).exists() for zone in before._served[0])

# SPDX-License-Identifier: Apache-2.0
"""What is asked of a name server before it is timed, and what its answers must be.

Over random zones (dns_corpus): every answer is as a whole one that NSD gives or one that Knot gives, or differs from
it in one of the ways that dns_peers lists with their reasons. Over the zone of the workload itself: the addresses that
were put into it. Judging is a pure function over answers; asking is in ask().
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from stackrig import zones
from stackrig.gate import dns_odd, dns_peers
from stackrig.gate.dns_answer import Answer, difference, read, unlike_the_question
from stackrig.gate.dns_corpus import TYPES, Question
from stackrig.gate.dns_odd import Odd
from stackrig.gate.dns_peers import Said, Way
from stackrig.gate.report import Report
from stackrig.gateway.host import Host

REFERENCES = ("nsd", "knot")  # whose answers are compared with
SAMPLE = 64  # names of the workload's zone that are asked for
TRIES = 5  # of a datagram
CONNECTION = 500  # questions over one
ONE_BY_ONE = 20  # of those that it did not answer, asked again over connections of their own
NAMED = 5  # of what was skipped


@dataclass(frozen=True)
class Wanted:
    """What servers are asked."""

    questions: tuple[Question, ...]
    odd: tuple[Odd, ...]
    behind: bytes  # the query that is sent behind each odd message
    origins: frozenset[str]  # of the zones, absolute


@dataclass
class Asked:
    """What one server said; None: nothing."""

    plain: list[bytes | None]  # to questions over UDP
    stream: list[bytes | None]  # over TCP
    odd: list[bytes | None]


def ask(host: Host, address: str, port: int, wanted: Wanted) -> Asked:
    """Puts all questions to a server over kernel sockets of `host`, over UDP and over TCP."""
    messages = _messages(wanted.questions)
    plain = host.call("datagrams", address=address, port=port, messages=messages, tries=TRIES)
    stream = _framed(host, address, port, messages)
    odd = host.call(
        "probes", address=address, port=port, messages=[o.message for o in wanted.odd], behind=wanted.behind
    )
    return Asked(plain, stream, odd)


def learn(host: Host, address: str, port: int, wanted: Wanted, follows: bool) -> Said:
    """A baseline's answers. `follows`: also to what its aliases lead to, where it leaves that to the client."""
    said = understood(wanted, ask(host, address, port, wanted))
    if follows:

        def further(questions: Sequence[Question]) -> Sequence[bytes | None]:
            return _framed(host, address, port, _messages(questions))

        dns_peers.follow(said, wanted.questions, wanted.origins, further)
    return said


def understood(wanted: Wanted, asked: Asked) -> Said:
    """A baseline's answers as they are compared; one that cannot be read is none, and is told."""
    said = Said([], [], asked.odd)
    for question, plain, stream in zip(wanted.questions, asked.plain, asked.stream, strict=True):
        for raw, into, how in ((plain, said.plain, ""), (stream, said.stream, " over TCP")):
            try:
                into.append(read(raw) if raw is not None else None)
            except ValueError:
                into.append(None)
                said.unreadable.append(f"{question.told()}{how}")
    return said


def _messages(questions: Sequence[Question]) -> list[bytes]:
    return [question.message(number) for number, question in enumerate(questions)]


def _framed(host: Host, address: str, port: int, messages: Sequence[bytes]) -> list[bytes | None]:
    """Over as many connections as it takes; what a broken one left open again by itself."""
    framed = partial(host.call, "framed", address=address, port=port)
    said: list[bytes | None] = []
    for first in range(0, len(messages), CONNECTION):
        said += framed(messages=list(messages[first : first + CONNECTION]))
    for index in [index for index, answer in enumerate(said) if answer is None][:ONE_BY_ONE]:
        said[index] = framed(messages=[messages[index]])[0]
    return said


# --- judging --------------------------------------------------------------------------------------------------


def judge(wanted: Wanted, asked: Asked, references: dict[str, Said]) -> Report:
    """What is wrong with the answers; `references` are the baselines' to the same questions, by name."""
    report = Report()
    if not references:
        report.skipped.append("answers were not compared with a baseline's: none was there")
    alone = list[str]()
    for index, question in enumerate(wanted.questions):
        alone += _judge_question(report, question, index, asked, references, wanted.origins)
    if references:
        _tell(report, alone, "answers were not compared, as no baseline gave one that can be read")
    for name, said in references.items():
        lost = [q.told() for q, a in zip(wanted.questions, said.plain, strict=True) if a is None]
        lost += [
            f"{q.told()} over TCP" for q, a in zip(wanted.questions, said.stream, strict=True) if a is None
        ]
        _tell(report, said.unreadable, f"answers of {name} cannot be read and were not compared with")
        silent = [one for one in lost if one not in set(said.unreadable)]
        _tell(report, silent, f"answers of {name} did not come and were not compared with")
    dns_odd.judge(report, wanted.odd, asked.odd, {name: said.odd for name, said in references.items()})
    return report


def _tell(report: Report, which: Sequence[str], what: str) -> None:
    if which:
        more = f" and {len(which) - NAMED} more" if len(which) > NAMED else ""
        report.skipped.append(f"{len(which)} {what}: {'; '.join(which[:NAMED])}{more}")


def _judge_question(
    report: Report,
    question: Question,
    index: int,
    asked: Asked,
    references: dict[str, Said],
    origins: Collection[str],
) -> list[str]:
    """Over TCP, then over UDP, where the answer may be as much of the first as there is room for. Returns those for
    which there was nothing to compare with."""
    plain, stream = list[Way](), list[Way]()
    for name, said in references.items():
        if (theirs := said.stream[index]) is not None:
            stream += dns_peers.ways(name, theirs, question, origins, said)
        if (theirs := said.plain[index]) is not None:
            plain += dns_peers.ways(name, theirs, question, origins, None)
    alone = list[str]()

    def weigh(answer: Answer, is_right: bool, known: Sequence[Way], how: str) -> None:
        if references and not known:
            alone.append(f"{question.told()}{how}")
            return
        report.checked += 1
        if known and not is_right:
            report.findings.append(f"{question.told()}{how}: {dns_peers.told(answer, known)}")

    whole = _read(report, question, index, asked.stream[index], " over TCP")
    is_whole = whole is not None and _is_right(whole, stream, question)
    if whole is not None:
        weigh(whole, is_whole, stream, " over TCP")
    if (short := _read(report, question, index, asked.plain[index], "")) is not None:
        is_right = _is_right(short, plain, question)
        if is_whole and whole is not None:
            plain.append(Way("itself over TCP", whole))
            length = len(asked.stream[index] or b"")
            is_right = is_right or dns_peers.is_cut_down(short, whole, length, question)
        weigh(short, is_right, plain, "")
    return alone


def _read(report: Report, question: Question, index: int, raw: bytes | None, how: str) -> Answer | None:
    """None where that is a finding."""
    try:
        said = read(raw)
        assert raw is not None
        wrong = unlike_the_question(question, index, raw)
    except ValueError as error:
        wrong = str(error)
    if wrong:
        report.checked += 1
        report.findings.append(f"{question.told()}{how}: {wrong}")
        return None
    return said


def _is_right(said: Answer, known: Sequence[Way], question: Question) -> bool:
    if any(difference(said, way.answer) is None for way in known):
        return True
    return question.type == TYPES["ANY"] and any(dns_peers.is_some_of(said, way.answer) for way in known)


# --- the workload's own zone ----------------------------------------------------------------------------------


def judge_bench(report: Report, entries: int, answers: Sequence[bytes | None], where: str = "") -> None:
    """sampled() names and one that is not there, as they were answered at one address."""
    for number, (index, question, raw) in enumerate(
        zip([*sampled(entries), None], bench_questions(entries), answers, strict=True)
    ):
        report.checked += 1
        told = f"{question.told()}{f' at {where}' if where else ''}"
        if wrong := _wrong_with_bench(index, question, number, raw):
            report.findings.append(f"{told}: {wrong}")


def _wrong_with_bench(index: int | None, question: Question, number: int, raw: bytes | None) -> str | None:
    try:
        said = read(raw)
    except ValueError as error:
        return str(error)
    assert raw is not None
    if wrong := unlike_the_question(question, number, raw):
        return wrong
    if index is None:
        is_right = (
            said.rcode == 3
            and not said.answer
            and any(record[1] == TYPES["SOA"] for record in said.authority)
        )
        return None if is_right else f"expected NXDOMAIN with SOA, got rcode {said.rcode}"
    expected = {(f"{question.name}.", zones.TYPE_A, zones.CLASS_IN, zones.TTL, zones.address(index))}
    if said.rcode != 0 or said.is_cut or said.answer != expected:
        return f"expected its address, got rcode {said.rcode}, {sorted(said.answer)[:2]}"
    return None


def bench_questions(entries: int) -> list[Question]:
    return [*(Question(zones.name(i)) for i in sampled(entries)), Question(f"nope.{zones.ORIGIN}")]


def sampled(entries: int) -> list[int]:
    """Indexes spread over the zone, first and last among them."""
    many = min(SAMPLE, entries)
    return [round(step * (entries - 1) / max(1, many - 1)) for step in range(many)]

# SPDX-License-Identifier: Apache-2.0
"""What is asked of an HTTP server before it is timed, and what its answers must be.

Byte-exact bodies for every file, HEAD, errors, the baseline's answers to the same requests, a Date that is
right and goes on, connections that close when they should and serve again when not: no short cut that the
workload would not notice. Judging is a pure function over answers; asking is in ask().
"""

from __future__ import annotations

import email.utils
import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path

from stackrig.content import File
from stackrig.gate.report import Report
from stackrig.gateway.host import Host

# Two files of one size and different bytes, always there: a server that ignores the path is found out.
PROBES = [File("gate-a", 777), File("gate-b", 777)]
CLOCK_TOLERANCE_S = 1.0  # a server may look at the clock once a second

Answer = tuple[bytes, int, str, bytes]  # head, body's length, body's SHA-256, its first 4 KiB


@dataclass(frozen=True)
class Case:
    """Requests on one connection, and what must hold of the answers."""

    name: str
    requests: list[bytes]
    bodies: list[File | None] = field(default_factory=list)  # per request: the file that must come back whole
    end: str | None = None  # how the connection must stand afterwards
    compare: bool = False  # statuses must be the baseline's
    compare_body: bool = False  # lengths and bodies as well


@dataclass
class Asked:
    case: str
    answers: list[Answer]
    end: str
    sent: float  # seconds since the epoch: before the first request
    got: float  # after the last answer


def get(path: str, *headers: str, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    lines = [f"{method} {path} {version}", "Host: gate", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def cases(files: list[File]) -> list[Case]:
    """Everything that is asked."""
    a, b = PROBES
    close = "Connection: close"
    everything = [*PROBES, *files]
    one = files[0] if files else a
    return [
        Case("every file on one connection", [get(f.path) for f in everything], list(everything), "open"),
        Case("a connection for one file", [get(one.path, close)], [one], "closed"),
        Case("HTTP/1.0 closes", [get(one.path, version="HTTP/1.0")], [one], "closed"),
        Case("one path after another", [get(a.path), get(b.path), get(a.path)], [a, b, a], "open"),
        Case(
            "keep-alive after an error",
            [get(a.path), get("/no-such-file"), get(b.path)],
            [a, None, b],
            "open",
            True,
        ),
        Case(
            "HEAD",
            [get(a.path, method="HEAD"), get(one.path, method="HEAD"), get(b.path)],
            [None, None, b],
            "open",
            True,
            True,
        ),
        Case("HEAD closes", [get(one.path, close, method="HEAD")], [None], "closed", True, True),
        Case("a path that is not there", [get("/no-such-file", close)], [None], "closed", True),
        Case("a folder that is not there", [get("/no/such/folder/", close)], [None], "closed", True),
        Case("an encoded path", [get("/gate%2Da", close)], [a], "closed", True, True),
        Case("a path with a query", [get("/gate-b?x=/gate-a", close)], [b], "closed", True, True),
        Case("a path above the root", [get("/../gate-a", close)], [None], None, True),
        Case(
            "an encoded path above the root", [get("/%2e%2e/%2e%2e/etc/hostname", close)], [None], None, True
        ),
        Case("POST", [get(a.path, close, "Content-Length: 0", method="POST")], [None], None, True),
        Case("an unknown version", [get(a.path, version="HTTP/9.9")], [None], None, True),
        Case("no request", [b"nonsense\r\n\r\n"], [None], None, True),
    ]


def ask(host: Host, address: str, port: int, wanted: list[Case]) -> list[Asked]:
    """Puts the cases to a server over kernel sockets of `host`; the Date case takes over a second."""
    asked = []
    for case in wanted:
        said = host.call("exchange", address=address, port=port, requests=case.requests)
        asked.append(
            Asked(case.name, [tuple(a) for a in said["answers"]], said["end"], said["sent"], said["got"])
        )
    return asked


def ask_date(host: Host, address: str, port: int) -> list[Asked]:
    """The same file twice, 1.3 s apart: cut frames must not freeze the Date."""
    first = ask(host, address, port, [Case("Date", [get(PROBES[0].path)], [PROBES[0]])])
    time.sleep(1.3)
    return first + ask(host, address, port, [Case("Date", [get(PROBES[0].path)], [PROBES[0]])])


def judge(
    wanted: list[Case],
    asked: list[Asked],
    root: Path,
    reference: list[Asked] | None,
    differs: dict[str, str] | None = None,
) -> Report:
    """What is wrong with the answers; `reference` are the baseline's to the same cases. `differs`: cases whose answers
    may be others, with the reason."""
    report = Report()
    differs = differs or {}
    if reference is None:
        report.skipped.append("answers were not compared with a baseline's: none was there")
    for index, (case, said) in enumerate(zip(wanted, asked, strict=True)):
        peer = reference[index] if reference is not None else None
        _judge_case(report, case, said, root)
        if peer is not None and case.compare and case.name in differs:
            report.skipped.append(
                f"{case.name}: not compared with a baseline's, because {differs[case.name]}"
            )
        elif peer is not None and case.compare:
            _compare(report, case, said, peer)
    whole = next((s for s in asked if s.answers), None)
    report.header_bytes = len(whole.answers[0][0]) + 4 if whole else 0
    return report


def judge_date(report: Report, asked: list[Asked]) -> None:
    dates = []
    for said in asked:
        report.checked += 1
        raw = header(said.answers[0][0], "date") if said.answers else None
        parsed = email.utils.parsedate_to_datetime(raw) if raw and _is_date(raw) else None
        if parsed is None:
            report.findings.append(f"Date: expected an RFC 9110 date, got {raw!r}")
            return
        dates.append(parsed.timestamp())
        # Date has whole seconds: it may be up to one before the moment that it names.
        if not said.sent - 1 - CLOCK_TOLERANCE_S <= dates[-1] <= said.got + CLOCK_TOLERANCE_S:
            report.findings.append(f"Date: {raw} is {dates[-1] - said.sent:+.1f} s from now")
    if dates[0] == dates[-1]:
        report.findings.append("Date: did not advance within 1.3 s")


def _is_date(raw: str) -> bool:
    try:
        return email.utils.parsedate_to_datetime(raw) is not None
    except ValueError:
        return False


def status(answer: Answer) -> str:
    words = answer[0].split(b"\r\n", 1)[0].split(b" ")
    return words[1].decode(errors="replace") if len(words) > 1 else "none"


def header(head: bytes, name: str) -> str | None:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name.encode():
            return value.strip().decode(errors="replace")
    return None


def _judge_case(report: Report, case: Case, said: Asked, root: Path) -> None:
    if len(said.answers) < len(case.requests):
        report.checked += 1
        if any(body is not None for body in case.bodies) or len(case.requests) > 1:
            report.findings.append(
                f"{case.name}: expected {len(case.requests)} answers on one connection, got {len(said.answers)} "
                f"(the connection: {said.end})"
            )
    for file, request, answer in zip(case.bodies, case.requests, said.answers, strict=False):
        report.checked += 1
        if file is not None and (wrong := _wrong_file(file, answer, root)):
            report.findings.append(f"{case.name}: {_asked_for(request)}: {wrong}")
    report.checked += 1
    if case.end is not None and said.end != case.end:
        report.findings.append(f"{case.name}: expected the connection {case.end}, found it {said.end}")


def _wrong_file(file: File, answer: Answer, root: Path) -> str | None:
    head, length, digest, _ = answer
    if (got := status(answer)) != "200":
        return f"expected status 200, got {got}"
    if length != file.size:
        return f"expected {file.size} bytes of body, got {length}"
    if (said := header(head, "content-length")) != str(file.size):
        return f"expected Content-Length {file.size}, got {said}"
    on_disk = hashlib.sha256((root / file.name).read_bytes()).hexdigest()
    return None if digest == on_disk else "the body differs from the file's bytes"


def _compare(report: Report, case: Case, said: Asked, peer: Asked) -> None:
    for request, ours, theirs in zip(case.requests, said.answers, peer.answers, strict=False):
        report.checked += 1
        if status(ours) != status(theirs):
            report.findings.append(
                f"{case.name}: {_asked_for(request)}: expected status {status(theirs)} as the baseline's, "
                f"got {status(ours)}"
            )
        elif case.compare_body:
            lengths = [header(a[0], "content-length") for a in (ours, theirs)]
            if lengths[0] != lengths[1]:
                report.findings.append(
                    f"{case.name}: {_asked_for(request)}: expected Content-Length {lengths[1]}, got {lengths[0]}"
                )
            elif ours[1:3] != theirs[1:3]:
                report.findings.append(
                    f"{case.name}: {_asked_for(request)}: the body differs from the baseline's"
                )
    if bool(said.answers) != bool(peer.answers):
        report.findings.append(
            f"{case.name}: the baseline {'answers' if peer.answers else 'does not answer'} this"
        )


def _asked_for(request: bytes) -> str:
    return request.split(b"\r\n", 1)[0].decode(errors="replace")

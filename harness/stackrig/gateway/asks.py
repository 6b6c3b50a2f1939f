# SPDX-License-Identifier: Apache-2.0
"""What the gates of HTTP and DNS ask servers, over kernel sockets of the host."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import struct
import time
from typing import Any

from stackrig.gateway.requests import Requests

SILENT = 20  # datagrams in a row without an answer


class Asks(Requests):
    def exchange(
        self, address: str, port: int, requests: list[bytes], timeout: float = 5.0
    ) -> dict[str, Any]:
        """One connection: send each request when the answer before it has been read to its end.

        An answer is (head, length of the body, its SHA-256, its first 4 KiB). `end` says how the connection
        stood after the last: "open", "closed" (FIN), "reset", "timeout", "more" (bytes nobody asked for).
        """
        answers: list[tuple[bytes, int, str, bytes]] = []
        end = "open"
        sent = got = time.time()
        try:
            with socket.create_connection((address, port), timeout=timeout) as connection:
                rest = b""
                for request in requests:
                    connection.sendall(request)
                    answer, rest, ended = _answer(connection, rest, head=request.startswith(b"HEAD "))
                    if answer[0]:  # else it ended without a word
                        answers.append(answer)
                    if ended:
                        return {"answers": answers, "end": "closed", "sent": sent, "got": time.time()}
                got = time.time()
                connection.settimeout(0.3)
                with contextlib.suppress(TimeoutError):
                    rest += (more := connection.recv(65536))
                    end = "more" if more else "closed"
                if rest:
                    end = "more"
        except ConnectionResetError:
            end = "reset"
        except TimeoutError:
            end = "timeout"
        except OSError as error:
            end = f"error: {error.strerror or error}"
        return {"answers": answers, "end": end, "sent": sent, "got": got}

    def datagrams(
        self, address: str, port: int, messages: list[bytes], timeout: float = 0.5, tries: int = 3
    ) -> list[bytes | None]:
        """The answer to each message over UDP: what begins with the same two bytes. None: none came.

        Who answers nothing many times in a row is not asked the rest."""
        answers: list[bytes | None] = []
        silent = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
            mine.connect((address, port))
            for message in messages:
                answer = None
                for _ in range(tries if silent < SILENT else 0):
                    answer = self._datagram(mine, message, timeout)
                    if answer is not None:
                        break
                silent = 0 if answer is not None else silent + tries
                answers.append(answer)
        return answers

    def _datagram(self, mine: socket.socket, message: bytes, timeout: float) -> bytes | None:
        deadline = time.monotonic() + timeout
        self._pause(0)
        try:
            mine.send(message)
            while (left := deadline - time.monotonic()) > 0:
                mine.settimeout(left)
                answer = mine.recv(65536)
                if answer[:2] == message[:2]:
                    return answer
        except OSError:  # nothing came, or nobody listens
            self._pause(min(0.05, deadline - time.monotonic()))
        return None

    def probes(
        self,
        address: str,
        port: int,
        messages: list[bytes],
        behind: bytes,
        timeout: float = 0.5,
        tries: int = 3,
        linger: float = 0.05,
    ) -> list[bytes | None]:
        """The answer to each message over UDP; empty: it was dropped; None: not known, as something was lost.

        Behind each goes the query `behind`, each time with an id of its own (from 0x8000 on). Dropped is what
        remains without an answer although the query behind it was answered each time it was sent.
        """
        answers: list[bytes | None] = []
        serial, silent = 0, 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
            mine.connect((address, port))
            for message in messages:
                answer, answered, tried = None, 0, 0
                while answer is None and tried < tries and silent < SILENT:
                    after = struct.pack(">H", 0x8000 | serial & 0x7FFF) + behind[2:]
                    answer, is_answered = self._probe(mine, message, after, timeout)
                    serial, tried, answered = serial + 1, tried + 1, answered + is_answered
                    silent = 0 if is_answered or answer is not None else silent + 1
                if answer is None and answered == tried == tries:
                    # Nothing promises that a server with several threads answers in order.
                    answer = self._received(mine, message[:2], b"", linger)[0] or b""
                answers.append(answer)
        return answers

    def _probe(
        self, mine: socket.socket, message: bytes, after: bytes, timeout: float
    ) -> tuple[bytes | None, bool]:
        """The answer to a message, and whether the query after it was answered."""
        self._pause(0)
        try:
            mine.send(message)
            mine.send(after)
        except OSError:  # nobody listens
            self._pause(0.05)
            return None, False
        return self._received(mine, message[:2], after[:2], timeout)

    def _received(
        self, mine: socket.socket, wanted: bytes, last: bytes, seconds: float
    ) -> tuple[bytes | None, bool]:
        """What begins with `wanted`, and whether something came that begins with `last`, after which there is no
        waiting."""
        deadline = time.monotonic() + seconds
        found = None
        with contextlib.suppress(OSError):
            while (left := deadline - time.monotonic()) > 0:
                mine.settimeout(left)
                answer = mine.recv(65536)
                if answer[:2] == wanted:
                    found = answer
                    if not last:
                        return found, False
                elif last and answer[:2] == last:
                    return found, True
        return found, False

    def framed(
        self, address: str, port: int, messages: list[bytes], timeout: float = 5.0
    ) -> list[bytes | None]:
        """The answer to each message over one TCP connection, each behind its length in two bytes (RFC 1035)."""
        answers: list[bytes | None] = []
        if not messages:
            return answers
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout) as mine:
            stream = mine.makefile("rb")
            for message in messages:
                self._pause(0)
                mine.sendall(struct.pack(">H", len(message)) + message)
                size = stream.read(2)
                if len(size) < 2:
                    break
                answers.append(stream.read(struct.unpack(">H", size)[0]))
        return answers + [None] * (len(messages) - len(answers))

    def congestion_control(self, address: str, port: int) -> str:
        """What a connection to there really uses."""
        with socket.create_connection((address, port), timeout=2) as connection:
            raw = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
        return raw.split(b"\0", 1)[0].decode()


def _answer(
    connection: socket.socket, buffered: bytes, head: bool
) -> tuple[tuple[bytes, int, str, bytes], bytes, bool]:
    """One HTTP answer, by its Content-Length or to the connection's end; what came after it; whether it ended."""
    data = buffered
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return (data, 0, hashlib.sha256().hexdigest(), b""), b"", True
        data += more
    header, _, data = data.partition(b"\r\n\r\n")
    length = _content_length(header)
    if head or header.split(b" ", 2)[1:2] in ([b"304"], [b"204"]):
        length = 0
    digest, seen, begin, ended = hashlib.sha256(), 0, b"", False
    while True:
        part = data if length is None else data[: length - seen]
        digest.update(part)
        seen += len(part)
        begin += part[: max(0, 4096 - len(begin))]
        rest = data[len(part) :]
        if length is not None and seen >= length:
            break
        data = connection.recv(262144)
        if not data:
            ended = True
            break
    return (header, seen, digest.hexdigest(), begin), rest, ended


def _content_length(header: bytes) -> int | None:
    for line in header.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    return None

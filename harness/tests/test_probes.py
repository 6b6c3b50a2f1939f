# SPDX-License-Identifier: Apache-2.0
"""What a gateway tells of messages that a server may drop: answered, dropped, or not known. No root."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from stackrig.gateway.worker import Worker

ODD, BEHIND = b"\x40\x01odd", b"\x00\x00behind"
Answers = Callable[[bytes, int], list[bytes]]  # what is sent back to the n-th datagram


@contextmanager
def answering(answers: Answers) -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        mine.bind(("127.0.0.1", 0))

        def serve() -> None:
            number = 0
            while (got := mine.recvfrom(4096))[0] != b"end":
                for one in answers(got[0], number):
                    mine.sendto(one, got[1])
                number += 1

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield mine.getsockname()[1]
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"end", mine.getsockname())
            thread.join()


def probed(answers: Answers, messages: list[bytes], timeout: float = 30) -> list[bytes | None]:
    with answering(answers) as port:
        return Worker().probes("127.0.0.1", port, messages, BEHIND, timeout)


def is_odd(got: bytes) -> bool:
    return got.endswith(b"odd")


def test_an_answer_is_told() -> None:
    assert probed(lambda got, _: [got], [ODD]) == [ODD]


def test_what_is_dropped_although_what_came_after_it_was_answered_each_time_is_told_as_dropped() -> None:
    assert probed(lambda got, _: [] if is_odd(got) else [got], [ODD]) == [b""]


def test_where_the_query_behind_is_lost_once_nothing_is_known() -> None:
    def loses_the_second(got: bytes, number: int) -> list[bytes]:
        return [] if is_odd(got) or number == 3 else [got]

    assert probed(loses_the_second, [ODD], timeout=0.05) == [None]


def test_a_message_that_was_lost_is_sent_again() -> None:
    assert probed(lambda got, number: [] if number == 0 else [got], [ODD]) == [ODD]


def test_an_answer_that_comes_late_is_not_the_next_ones() -> None:
    second = b"\x40\x02odd"

    def repeats_the_first(got: bytes, _: int) -> list[bytes]:
        if got == second:
            return [ODD]  # again, instead of an answer to this one
        return [got]

    assert probed(repeats_the_first, [ODD, second]) == [ODD, b""]


def test_each_query_behind_has_an_id_of_its_own() -> None:
    seen: list[bytes] = []

    def answers(got: bytes, _: int) -> list[bytes]:
        if not is_odd(got):
            seen.append(got[:2])
        return [] if is_odd(got) else [got]

    probed(answers, [ODD, b"\x40\x02odd"])
    assert len(seen) == len(set(seen)) == 6
    assert all(one[0] & 0x80 for one in seen)


@pytest.mark.timeout(60)
def test_who_answers_nothing_is_not_asked_for_ever() -> None:
    many = [bytes([0x40, n]) + b"odd" for n in range(200)]
    assert probed(lambda *_: [], many, timeout=0.01) == [None] * 200

# SPDX-License-Identifier: Apache-2.0
"""A forwarder between senders and sinks: the set-up of a script, and what must have come to the sinks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from stackrig.gate import thrift_words as thrift
from stackrig.gate.stream import Case, Got, Heard, Step, ends, noise

SINK_PORT = 20007  # of the first sink; the others follow
SINKS = 3
CONNECT_REPLY, CLOSE_REPLY = 27, 25  # bytes of answers

Wrong = Callable[[Heard], Iterable[str]]


class Scene:
    """Names and addresses of one script's parts: senders at the server, sinks S0, S1, ... beside them."""

    def __init__(self, address: str, port: int, sink_address: str, sink_port: int = SINK_PORT) -> None:
        self.address, self.port = address, port
        self.sink_address, self.sink_port = sink_address, sink_port

    def opened(self, name: str) -> Step:
        return ["open", name, self.address, self.port]

    def connect(self, key: int, sink: int) -> bytes:
        return thrift.connect(key, self.sink_address, self.sink_port + sink, sequence=1000 + key)

    def set_up(self, sinks: int = SINKS) -> list[Step]:
        """Connection C, by which each key gets the sink of its number."""
        listen: list[Step] = [
            ["listen", f"S{n}", self.sink_address, self.sink_port + n] for n in range(sinks)
        ]
        calls = b"".join(self.connect(n, n) for n in range(sinks))
        return [*listen, self.opened("C"), ["send", "C", calls], ["read", "C", sinks * CONNECT_REPLY]]


def passage(got: bytes, *senders: list[bytes]) -> str | None:
    """What is wrong with a sink's bytes: they must be all messages of all senders, each sender's in its order."""
    waiting = [list(messages) for messages in senders]
    at = 0
    while at < len(got):
        queue = next((q for q in waiting if q and got.startswith(q[0], at)), None)
        if queue is None:
            return _astray(got, at, waiting, senders)
        at += len(queue.pop(0))
    if lost := sum(map(len, waiting)):
        return f"{lost} of {sum(map(len, senders))} messages did not come"
    return None


def _astray(got: bytes, at: int, waiting: list[list[bytes]], senders: tuple[list[bytes], ...]) -> str:
    if any(got.startswith(later, at) for queue in waiting for later in queue[1:]):
        return f"at byte {at}: a message before one that was sent earlier, or in its place"
    if any(got.startswith(known, at) for messages in senders for known in messages):
        return f"at byte {at}: a message that came before"
    if any(one.startswith(got[at:]) for queue in waiting for one in queue):
        return f"at byte {at}: a message ends early"
    return f"at byte {at}: {got[at : at + 24]!r}... is none of the messages sent to it"


def at_sinks(heard: Heard, wanted: dict[str, list[list[bytes]]]) -> Iterator[str]:
    for name, senders in wanted.items():
        if told := passage(heard[name].data, *senders):
            yield f"sink {name}: {told} (the connection: {heard[name].end})"


def answered(name: str, got: Got, wanted: list[thrift.Answer]) -> Iterator[str]:
    try:
        answers = thrift.answers(got.data)
    except thrift.AnswerError as error:
        yield f"{name}: {error}"
        return
    for number, (one, right) in enumerate(itertools.zip_longest(answers, wanted)):
        if one != right:
            yield f"{name}: answer {number + 1}: expected {right}, got {one}"
            return


def connected(keys: Iterable[int] = range(SINKS)) -> list[thrift.Answer]:
    return [thrift.Answer(thrift.REPLY, b"connect", 1000 + key, 0) for key in keys]


def arrived(wanted: dict[str, list[list[bytes]]], *more: Wrong) -> Wrong:
    """Sink → its messages by sender; connections were made as asked for, and C still stands."""

    def wrong(heard: Heard) -> Iterator[str]:
        yield from answered("C", heard["C"], connected())
        yield from ends("C", heard["C"], "open")
        yield from at_sinks(heard, wanted)
        for one in more:
            yield from one(heard)

    return wrong


def read_all(wanted: dict[str, list[list[bytes]]]) -> list[Step]:
    """Until every sink has what it is to have, and a moment for what it is not to have."""
    count = {name: sum(len(one) for sender in by for one in sender) for name, by in wanted.items()}
    return [*(["read", name, size] for name, size in count.items()), ["pause", 0.02]]


def numbered(count: int, key: int, size: int, seed: str) -> list[bytes]:
    """Messages that differ from each other."""
    return [thrift.msg(key, f"{seed} {n:05d} ".encode() + noise(size, f"{seed}{n}"), n) for n in range(count)]


def sent(scene: Scene, name: str, wanted: dict[str, list[list[bytes]]], *steps: Step) -> Case:
    """Sender A does `steps`, and then everything is at the sinks."""
    return Case(name, [*scene.set_up(), scene.opened("A"), *steps, *read_all(wanted)], arrived(wanted))

# SPDX-License-Identifier: Apache-2.0
"""The Thrift forwarder of the kernel module (Slick 3.3), and what anybody may send it."""

from __future__ import annotations

import errno
import random
import socket
import struct
import threading

import pytest

from slickvm import forwarder as thrift
from slickvm.initramfs import HOST_ADDRESS

from .conftest import Slick, eventually
from .test_kmod_echo import closed, receive, vanish


class Sink:
    """A backend on this side of the wire: one connection of the forwarder's."""

    def __init__(self, slick: Slick, client: socket.socket, key: int) -> None:
        listener = slick.listen()
        client.sendall(thrift.connect(key, HOST_ADDRESS, listener.getsockname()[1], sequence=key))
        self.socket, _ = listener.accept()
        self.socket.settimeout(60)
        slick.sockets.append(self.socket)
        expected = thrift.reply("connect", 0, key)
        assert receive(client, len(expected)) == expected

    def receive(self, count: int) -> bytes:
        return receive(self.socket, count)


def call(client: socket.socket, message: bytes, method: str) -> int:
    """The result of a connect or a close."""
    client.sendall(message)
    answer = receive(client, len(thrift.reply(method, 0)))
    (value,) = struct.unpack(">i", answer[-5:-1])
    assert answer == thrift.reply(method, value)
    return int(value)


def test_every_size_arrives_whole_at_the_sink_of_its_key(slick: Slick) -> None:
    slick.load("forward")
    client = slick.connect()
    sinks = {key: Sink(slick, client, key) for key in (0, 1, -5)}
    sizes = (0, 1, 32, 128, 1448, 4096, 16384, 65535, 65536)
    for sequence, size in enumerate(sizes):
        for key, sink in sinks.items():
            message = thrift.msg(key, random.randbytes(size), sequence)
            client.sendall(message)
            assert sink.receive(len(message)) == message
    slick.settles(messages=3 * len(sizes), messages_dropped=0)


def test_messages_of_many_senders_arrive_once_and_in_order(slick: Slick) -> None:
    """Eight senders, their messages spread over five sinks, many in one segment."""
    slick.load("forward")
    client = slick.connect()
    sinks = [Sink(slick, client, key) for key in range(5)]
    per_sender = 500

    def message(sender: int, number: int) -> bytes:
        return thrift.msg(number % 5, struct.pack(">II", sender, number) + bytes(number % 97), sender)

    def send(sender: int) -> None:
        slick.connect().sendall(b"".join(message(sender, number) for number in range(per_sender)))

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(8)]
    for thread in threads:
        thread.start()
    for key, sink in enumerate(sinks):
        numbers = range(key, per_sender, 5)
        expected = {sender: [message(sender, number) for number in numbers] for sender in range(8)}
        data = sink.receive(sum(len(m) for messages in expected.values() for m in messages))
        while data:
            sender = struct.unpack_from(">i", data, 11)[0]
            wanted = expected[sender].pop(0)
            assert data.startswith(wanted), (
                f"sink {key}: a message of sender {sender} altered or out of order"
            )
            data = data[len(wanted) :]
    for thread in threads:
        thread.join()
    slick.settles(messages=8 * per_sender)


def test_a_stream_may_be_split_at_every_byte(slick: Slick) -> None:
    slick.load("forward")
    client = slick.connect()
    sink = Sink(slick, client, 3)
    message = thrift.msg(3, b"payload")
    for cut in range(1, len(message)):
        client.sendall(message[:cut])
        client.sendall(message[cut:])
    for byte in message:
        client.sendall(bytes([byte]))
    assert sink.receive(len(message) ** 2) == message * len(message)


def test_fields_in_any_order_and_unknown_ones_are_forwarded_as_they_came(slick: Slick) -> None:
    slick.load("forward")
    client = slick.connect()
    sink = Sink(slick, client, 7)
    unknown = struct.pack(">bh", thrift.LIST, 99) + struct.pack(">bi", thrift.I32, 2) + bytes(8)
    message = (
        thrift.header(thrift.ONEWAY, "msg")
        + thrift.string(2, b"x")
        + unknown
        + thrift.i32(1, 7)
        + thrift.STOP
    )
    client.sendall(message)
    assert sink.receive(len(message)) == message


def test_messages_for_a_key_without_backend_are_dropped_and_counted(slick: Slick) -> None:
    slick.load("forward")
    client = slick.connect()
    client.sendall(thrift.msg(1, b"lost") * 3)
    slick.settles(messages=0, messages_dropped=3)


def test_an_unknown_method_is_answered_and_the_connection_goes_on(slick: Slick) -> None:
    slick.load("forward")
    client = slick.connect()
    client.sendall(thrift.header(thrift.CALL, "nothing", 9) + thrift.STOP)
    said = b"Invalid method name: 'nothing'"
    expected = (
        thrift.header(thrift.EXCEPTION, "nothing", 9) + thrift.string(1, said) + thrift.i32(2, 1) + b"\0"
    )
    assert receive(client, len(expected)) == expected
    client.sendall(thrift.header(thrift.ONEWAY, "nothing") + thrift.STOP)  # no answer to a oneway
    assert call(client, thrift.close(), "close") == 0


def test_connect_replies_with_what_went_wrong(slick: Slick) -> None:
    slick.load("forward")
    client = slick.connect()
    listener = slick.listen()
    port = listener.getsockname()[1]
    listener.close()
    assert call(client, thrift.connect(1, HOST_ADDRESS, port), "connect") == errno.ECONNREFUSED
    for host, bad_port in (("localhost", 80), ("10.77.88.256", 80), (HOST_ADDRESS, 0), (HOST_ADDRESS, 65536)):
        assert call(client, thrift.connect(1, host, bad_port), "connect") == errno.EINVAL
    assert call(client, thrift.connect(1, "255.255.255.255", 80), "connect") == errno.ENETUNREACH
    assert call(client, thrift.close(), "close") == 0


def test_a_backend_is_replaced_by_the_next_of_its_key(slick: Slick) -> None:
    slick.load("forward")
    client = slick.connect()
    message = thrift.msg(1, b"x" * 1000)
    first = Sink(slick, client, 1)
    client.sendall(message * 20)
    second = Sink(slick, client, 1)
    client.sendall(message)
    assert first.receive(20 * len(message)) == message * 20
    assert closed(first.socket)
    assert second.receive(len(message)) == message
    slick.settles(backends_open=1, backends_lost=0)


def test_close_sends_what_is_under_way_and_counts_the_backends(slick: Slick) -> None:
    slick.load("forward")
    client = slick.connect()
    sinks = [Sink(slick, client, key) for key in range(3)]
    messages = [thrift.msg(key, bytes([key]) * 30000) for key in range(3)]
    client.sendall(b"".join(messages) * 5 + thrift.close())
    for sink, message in zip(sinks, messages, strict=True):
        assert sink.receive(5 * len(message)) == message * 5
        assert closed(sink.socket)
    assert receive(client, len(thrift.reply("close", 3))) == thrift.reply("close", 3)
    slick.settles(backends_open=0)


def test_a_backend_that_goes_away_takes_only_its_messages_along(slick: Slick) -> None:
    slick.load("forward")
    client = slick.connect()
    gone, stays = Sink(slick, client, 1), Sink(slick, client, 2)
    vanish(gone.socket)
    slick.settles(backends_open=1, backends_lost=1)
    message = thrift.msg(2, b"still here")
    client.sendall(thrift.msg(1, b"lost") + message)
    assert stays.receive(len(message)) == message
    slick.settles(messages_dropped=1)
    again = Sink(slick, client, 1)
    client.sendall(thrift.msg(1, b"back"))
    assert again.receive(len(thrift.msg(1, b"back"))) == thrift.msg(1, b"back")


def test_a_sink_that_closes_at_once_is_no_backend(slick: Slick) -> None:
    slick.load("forward")
    client = slick.connect()
    for key in range(20):
        Sink(slick, client, key).socket.close()
    slick.settles(backends_open=0, backends_lost=20)
    client.sendall(thrift.msg(3, b"lost"))
    slick.settles(messages=0, messages_dropped=1)


def test_a_slow_sink_slows_its_sender_and_nobody_else(slick: Slick) -> None:
    slick.load("forward")
    client = slick.connect()
    slow, quick = Sink(slick, client, 1), Sink(slick, client, 2)
    message = thrift.msg(1, random.randbytes(8000))
    sender = slick.connect()
    sender.settimeout(1)
    stream = message * 1000
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 256 << 20:
            sent += sender.send(memoryview(stream)[sent % len(message) :][:65536])
    assert sent < 64 << 20, "more than buffers along the way can hold"
    slick.settles(messages_dropped=0)
    assert slick.stats()["stalls"] > 0
    other = slick.connect()
    other.sendall(thrift.msg(2, b"not held up"))
    assert quick.receive(len(thrift.msg(2, b"not held up"))) == thrift.msg(2, b"not held up")

    rest = len(message) - sent % len(message)
    sender.settimeout(60)
    finisher = threading.Thread(target=sender.sendall, args=(message[-rest:],))
    finisher.start()
    for _ in range((sent + rest) // len(message)):
        assert slow.receive(len(message)) == message
    finisher.join()


def test_a_sink_that_dies_frees_the_senders_that_wait_for_it(slick: Slick) -> None:
    slick.load("forward")
    client = slick.connect()
    stuck, other = Sink(slick, client, 1), Sink(slick, client, 2)
    sender = slick.connect()
    sender.settimeout(1)
    message = thrift.msg(1, bytes(60000))
    with pytest.raises(TimeoutError):
        while True:
            sender.sendall(message)
    vanish(stuck.socket)
    slick.settles(backends_lost=1)
    vanish(sender)
    client.sendall(thrift.msg(2, b"goes on"))
    assert other.receive(len(thrift.msg(2, b"goes on"))) == thrift.msg(2, b"goes on")
    client.close()
    slick.settles(connections_open=0)


def deep(levels: int) -> bytes:
    return struct.pack(">bh", thrift.STRUCT, 1) * levels + thrift.STOP * levels


MSG = thrift.header(thrift.ONEWAY, "msg")
KEY = thrift.i32(1, 1)
MALFORMED = {
    "no version": struct.pack(">i", 3) + b"msg\1" + bytes(5),
    "another version": struct.pack(">I", 0x80020004),
    "a type that does not exist": struct.pack(">I", 0x80010009),
    "a reply": thrift.reply("connect", 0),
    "a name of negative length": struct.pack(">Ii", 0x80010001, -1),
    "a name of huge length": struct.pack(">Ii", 0x80010001, 0x7FFFFFFF),
    "a payload of negative length": MSG + KEY + struct.pack(">bhi", thrift.STRING, 2, -1),
    "a payload of huge length": MSG + KEY + struct.pack(">bhi", thrift.STRING, 2, 0x7FFFFFFF),
    "a payload beyond the limit": MSG + KEY + struct.pack(">bhi", thrift.STRING, 2, 128 * 1024),
    "a key that is a string": MSG + thrift.string(1, b"1") + thrift.string(2, b"x") + thrift.STOP,
    "a payload that is an i32": MSG + KEY + thrift.i32(2, 1) + thrift.STOP,
    "no payload": MSG + KEY + thrift.STOP,
    "two keys": MSG + KEY + KEY + thrift.string(2, b"x") + thrift.STOP,
    "a field of no type": MSG + struct.pack(">bh", 77, 1),
    "a map of two thousand million": MSG + struct.pack(">bhbbi", thrift.MAP, 9, 10, 10, 0x7FFFFFFF),
    "a list of structs without end": MSG + struct.pack(">bhbi", thrift.LIST, 9, 12, 0x7FFFFFFF) + bytes(4000),
    "too deep": MSG + deep(40),
    "close as a oneway": thrift.header(thrift.ONEWAY, "close") + thrift.STOP,
    "HTTP": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
}


def test_malformed_messages_end_their_connection_and_no_other(slick: Slick) -> None:
    slick.load("forward")
    client = slick.connect()
    sink = Sink(slick, client, 1)
    good = thrift.msg(1, b"good")
    for number, (name, bad) in enumerate(MALFORMED.items(), 1):
        hostile = slick.connect()
        hostile.sendall(good + bad)
        assert closed(hostile), name
        assert sink.receive(len(good)) == good, name
        slick.settles(malformed=number)
    client.sendall(good)
    assert sink.receive(len(good)) == good


def test_clients_that_vanish_within_a_message_leave_nothing(slick: Slick) -> None:
    slick.load("forward")
    client = slick.connect()
    sink = Sink(slick, client, 1)
    message = thrift.msg(1, b"payload")
    for cut in range(len(message)):
        broken = slick.connect()
        broken.sendall(message + message[:cut])
        if cut % 2 == 0:
            broken.close()
        else:
            sink.receive(len(message))  # a reset takes what was not read yet along
            vanish(broken)
    sink.receive(len(message) * ((len(message) + 1) // 2))
    slick.settles(connections_open=1)
    assert slick.stats()["truncated"] >= len(message) // 2 - 1


def test_random_bytes_and_damaged_messages(slick: Slick) -> None:
    slick.load("forward")
    client = slick.connect()
    sink = Sink(slick, client, 1)
    source = random.Random(4)
    good = thrift.msg(1, b"good")
    for round_ in range(100):
        damaged = bytearray(thrift.msg(2, source.randbytes(40)) + thrift.connect(3, "300.0.0.1", 70000))
        for _ in range(source.randrange(1, 6)):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        hostile = slick.connect()
        hostile.sendall(bytes(damaged) if round_ % 4 else source.randbytes(300))
        hostile.close()
    client.sendall(good)
    assert sink.receive(len(good)) == good
    eventually(lambda: slick.stats()["connections_open"] == 1, "the hostile connections are gone")

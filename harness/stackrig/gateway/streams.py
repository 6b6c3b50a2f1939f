# SPDX-License-Identifier: Apache-2.0
"""Byte streams played from a script: several connections and listeners at once, every byte that comes kept.

Steps are lists, done one after the other; whatever arrives anywhere meanwhile is taken in:
  open NAME ADDRESS PORT    a connection, without Nagle's delay, so that what is sent apart arrives apart
  listen NAME ADDRESS PORT  connections that it accepts are called NAME.0, NAME.1, ...
  send NAME BYTES           until the kernel has all of it
  pour NAME BYTES SECONDS   as far as the kernel takes it within that time
  rest NAME                 what `pour` had to leave, as `send`
  pause SECONDS
  read NAME COUNT           until so many bytes have come in all
  note NAME                 how many have come by now
  deaf NAME, hear NAME      what comes stays in the kernel, or is taken in again; NAME of a listener: of its next
  half NAME                 no more is sent: FIN
  end NAME                  until the other side has ended it
  close NAME, reset NAME    by FIN, by RST
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from stackrig.gateway.requests import Requests

SLICE_S = 0.05  # how long a wait lasts before it looks whether somebody else asks
TAKEN = 1 << 18  # bytes taken from a socket in one go
LONGEST_S = 60.0  # for one step, though something comes all the time


class Line:
    """One connection. `end`: "open", "closed" (FIN), "reset", "timeout" (what was waited for did not come), or an
    error in words."""

    def __init__(self, it: socket.socket) -> None:
        it.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        it.setblocking(False)
        self.socket = it
        self.data = bytearray()
        self.end = "open"
        self.deaf = False
        self.rest = b""
        self.notes: list[int] = []

    def told(self) -> dict[str, Any]:
        return {"data": bytes(self.data), "end": self.end, "notes": self.notes}


class Streams(Requests):
    def play(self, steps: list[list[Any]], patience: float = 3.0) -> dict[str, Any]:
        """What every connection got, by name, and how it stood at the end of the script."""
        stage = Stage(patience, lambda: self._pause(0))
        with contextlib.closing(stage):
            for word, *arguments in steps:
                getattr(stage, f"do_{word}")(*arguments)
            return {name: line.told() for name, line in stage.lines.items()}


class Stage:
    """The connections of one script."""

    def __init__(self, patience: float, look_up: Callable[[], None]) -> None:
        self.patience = patience
        self.look_up = look_up
        self.lines: dict[str, Line] = {}
        self.listeners: dict[str, socket.socket] = {}
        self.accepted: dict[str, int] = {}
        self.deaf_next: set[str] = set()

    def close(self) -> None:
        for it in [*(line.socket for line in self.lines.values()), *self.listeners.values()]:
            it.close()

    # --- steps ----------------------------------------------------------------------------------------------

    def do_open(self, name: str, address: str, port: int) -> None:
        self.lines[name] = Line(socket.create_connection((address, port), timeout=self.patience))

    def do_listen(self, name: str, address: str, port: int) -> None:
        it = socket.create_server((address, port), backlog=16)
        it.setblocking(False)
        self.listeners[name], self.accepted[name] = it, 0

    def do_send(self, name: str, data: bytes) -> None:
        """`patience` is how long each piece may take, not how long all of it may."""
        line = self.lines[name]
        for at in range(0, len(data), TAKEN):
            piece = data[at : at + TAKEN]
            if self._send(name, piece, self.patience) < len(piece):
                line.end = "timeout" if line.end == "open" else line.end
                return

    def do_pour(self, name: str, data: bytes, seconds: float) -> None:
        self.lines[name].rest = data[self._send(name, data, seconds) :]

    def do_rest(self, name: str) -> None:
        self.do_send(name, self.lines[name].rest)

    def do_pause(self, seconds: float) -> None:
        self._pump(lambda: False, seconds)

    def do_read(self, name: str, count: int) -> None:
        self._wait(name, lambda line: len(line.data) >= count)

    def do_note(self, name: str) -> None:
        self.lines[name].notes.append(len(self.lines[name].data))

    def do_deaf(self, name: str) -> None:
        if name in self.lines:
            self.lines[name].deaf = True
        else:
            self.deaf_next.add(name)

    def do_hear(self, name: str) -> None:
        self.lines[name].deaf = False

    def do_half(self, name: str) -> None:
        with contextlib.suppress(OSError):
            self.lines[name].socket.shutdown(socket.SHUT_WR)

    def do_end(self, name: str) -> None:
        self._wait(name, lambda line: line.end != "open")

    def do_close(self, name: str) -> None:
        self.lines[name].socket.close()

    def do_reset(self, name: str) -> None:
        it = self.lines[name].socket
        with contextlib.suppress(OSError):
            it.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        it.close()

    # --- taking in ------------------------------------------------------------------------------------------

    def _wait(self, name: str, until: Callable[[Line], bool]) -> None:
        """For something of one connection, which may have to be accepted first."""

        def there() -> bool:
            line = self.lines.get(name)
            return line is not None and (until(line) or line.end != "open")

        def grown() -> bool:
            line = self.lines.get(name)
            return there() or (line is not None and len(line.data) > had)

        last = time.monotonic() + LONGEST_S
        while not there():
            line = self.lines.get(name)
            had = 0 if line is None else len(line.data)
            if not self._pump(grown, self.patience) or time.monotonic() > last:
                line = self.lines.setdefault(name, Line(socket.socket()))
                line.end = "timeout"

    def _send(self, name: str, data: bytes, seconds: float) -> int:
        line, view, deadline = self.lines[name], memoryview(data), time.monotonic() + seconds
        while view and line.end == "open" and time.monotonic() < deadline:
            try:
                view = view[line.socket.send(view) :]
            except BlockingIOError:
                self._turn(min(SLICE_S, deadline - time.monotonic()), writes=line)
            except OSError as error:
                line.end = _why(error)
        return len(data) - len(view)

    def _pump(self, until: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not until():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._turn(min(SLICE_S, left))
        return True

    def _turn(self, seconds: float, writes: Line | None = None) -> None:
        """Takes in what is there, or comes within `seconds`; with `writes` returns once that one takes more."""
        self.look_up()
        with selectors.DefaultSelector() as selector:
            for name, listener in self.listeners.items():
                selector.register(listener, selectors.EVENT_READ, name)
            for line in self.lines.values():
                hears = line.end == "open" and not line.deaf and line.socket.fileno() >= 0
                events = selectors.EVENT_READ if hears else 0
                events |= selectors.EVENT_WRITE if line is writes else 0
                if events:
                    selector.register(line.socket, events, line)
            if not selector.get_map():
                time.sleep(seconds)
                return
            for key, events in selector.select(seconds):
                if isinstance(key.data, Line):
                    if events & selectors.EVENT_READ:
                        _take_in(key.data)
                else:
                    self._accept(key.data)

    def _accept(self, name: str) -> None:
        with contextlib.suppress(OSError):
            it, _ = self.listeners[name].accept()
            line = Line(it)
            line.deaf = name in self.deaf_next
            self.deaf_next.discard(name)
            self.lines[f"{name}.{self.accepted[name]}"] = line
            self.accepted[name] += 1


def _take_in(line: Line) -> None:
    try:
        data = line.socket.recv(TAKEN)
    except BlockingIOError:
        return
    except OSError as error:
        line.end = _why(error)
        return
    line.data += data
    if not data:
        line.end = "closed"


def _why(error: OSError) -> str:
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "reset"
    return f"error: {error.strerror or error}"

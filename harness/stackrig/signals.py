# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C stops a run, never its clean-up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STOPS = (signal.SIGINT, signal.SIGTERM)


def came_of_an_interrupt(error: BaseException | None) -> bool:
    """Was it raised while cleaning up after Ctrl-C? Then it is no failure of what was measured."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


@contextmanager
def unhindered() -> Iterator[None]:
    """A block that SIGINT and SIGTERM do not interrupt: it lasts seconds, and half of it would leave things behind."""
    if threading.current_thread() is not threading.main_thread():  # signals go to the main thread only
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

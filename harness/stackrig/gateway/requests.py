# SPDX-License-Identifier: Apache-2.0
"""What every part of the worker shares: requests that wait, and waiting that ends when the next one comes."""

from __future__ import annotations

import queue
import threading
from typing import Any


class SupersededError(Exception):
    """Another request came while this one waited: nobody waits for its answer any more."""


class Requests:
    def __init__(self) -> None:
        self.requests: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.asked = threading.Event()  # there is a request that waits
        self._taking = threading.Lock()

    def _pause(self, seconds: float) -> None:
        """Sleeps; SupersededError as soon as another request comes."""
        if self.asked.wait(max(0.0, seconds)):
            raise SupersededError("another request came")

    def _take(self, request: dict[str, Any] | None) -> None:
        """A request, or None when the harness is gone. Runs in execnet's own thread."""
        with self._taking:
            self.requests.put(request)
            self.asked.set()

    def _next(self) -> dict[str, Any] | None:
        request = self.requests.get()
        with self._taking:
            if self.requests.empty():
                self.asked.clear()
        return request

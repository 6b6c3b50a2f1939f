# SPDX-License-Identifier: Apache-2.0
"""An HTTP server that is right, or wrong in one way: for the tests of the gate. ADDRESS PORT ROOT [LIE]"""

from __future__ import annotations

import os
import socketserver
import sys
import time
import urllib.parse
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path

ADDRESS, PORT, ROOT = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
LIE = sys.argv[4] if len(sys.argv) > 4 else ""
STARTED = time.time()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    served = 0
    lives = -1

    def log_message(self, *args: object) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(STARTED if LIE == "frozen date" else time.time(), usegmt=True)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What is no request is refused as nginx refuses it."""
        self.request_version = "HTTP/1.1"
        self.close_connection = True
        self._send(int(code), b"bad", True)

    def do_HEAD(self) -> None:
        self._answer(body=LIE == "body to HEAD")

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_POST(self) -> None:
        self._send(405, b"not allowed", True)

    def _answer(self, body: bool) -> None:
        path = urllib.parse.unquote(self.path.partition("?")[0]).lstrip("/")
        if LIE == "one file for all paths" and (ROOT / path).is_file():
            path = "gate-a"
        file = (ROOT / path).resolve()
        if ".." in path:
            self.close_connection = True
            self._send(400, b"bad", True)
        elif not file.is_file() and LIE != "no 404":
            self._send(404, b"not found", body)
        else:
            self._send(200, file.read_bytes() if file.is_file() else b"", body)

    def _send(self, status: int, content: bytes, body: bool) -> None:
        Handler.served += 1
        if Handler.served == Handler.lives:
            sys.stderr.write("lying server: segmentation fault in the third year\n")
            sys.stderr.flush()
            os._exit(11)
        length = len(content)
        if LIE == "truncates" and status == 200:
            content = content[:-1]
            length -= 1
        if LIE == "garbles the second answer" and status == 200 and Handler.served > 1:
            content = b"?" + content[1:]
        if LIE == "wrong length to HEAD" and not body:
            length += 1
        if LIE == "ignores close":
            self.close_connection = False
        if LIE == "closes always":
            self.close_connection = True
        self.send_response(status)
        if LIE == "no date":
            self._headers_buffer = [h for h in self._headers_buffer if not h.startswith(b"Date")]  # type: ignore[has-type]
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if body:
            self.wfile.write(content)
        if LIE == "says more than it should":
            self.wfile.write(b"more")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *args: object) -> None:
        pass


if __name__ == "__main__":
    if LIE == "dies at once":
        sys.exit("lying server: no memory for this")
    server = Server((ADDRESS, PORT), Handler)
    if LIE == "dies under load":
        Handler.lives = 150  # requests; the gate asks fewer, a load asks more
    server.serve_forever()

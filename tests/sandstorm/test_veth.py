# SPDX-License-Identifier: Apache-2.0
"""Sandstorm over AF_XDP on a veth pair, with the kernel's TCP, curl and http.client on the other side."""

from __future__ import annotations

import hashlib
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support import Wire, run

from stackrig import paths

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes network namespaces"),
]

SERVER = "10.77.0.2"
FILES = {
    "f64": b"x" * 64,
    "page.html": b"<p>hello</p>\n",
    "sub/index.html": b"<p>sub</p>\n",
    "empty": b"",
    "large": bytes(i * 31 % 251 for i in range(3_000_000)),
    "a b": b"blank",
}

# Runs in the client's namespace: requests as JSON on stdin, what came back as JSON on stdout.
CLIENT = """
import hashlib, http.client, json, sys, threading
job = json.load(sys.stdin)
def ask(c, path):
    c.request("GET", path)
    r = c.getresponse()
    body = r.read()
    return [r.status, len(body), hashlib.sha256(body).hexdigest(), r.getheader("Date"), r.getheader("Connection")]
def connection(paths, persistent, out):
    c = http.client.HTTPConnection(job["server"], 80, timeout=30)
    for p in paths:
        out.append(ask(c, p))
        if not persistent:
            c.close()
    c.close()
results = [[] for _ in job["connections"]]
threads = [threading.Thread(target=connection, args=(p, job["persistent"], out))
           for p, out in zip(job["connections"], results)]
for t in threads: t.start()
for t in threads: t.join()
json.dump(results, sys.stdout)
"""

# The same: an ICMP echo, whose answer must come.
PING = """
import socket, struct, sys
def checksum(b):
    s = sum(struct.unpack(f"!{len(b) // 2}H", b))
    s = (s >> 16) + (s & 0xffff)
    return ~(s + (s >> 16)) & 0xffff
body = struct.pack("!HH", 4711, 1) + b"stackrig" * 7
echo = b"\\x08\\0" + struct.pack("!H", checksum(b"\\x08\\0\\0\\0" + body)) + body
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.settimeout(30)
s.sendto(echo, (sys.argv[1], 0))
while True:
    packet, (address, _) = s.recvfrom(4096)
    if address == sys.argv[1] and packet[20] == 0 and packet[24:] == body:
        break
"""


def content_root(folder: Path) -> Path:
    for name, body in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    return folder


def start(wire: Wire, root: Path, variant: str, log: Path) -> subprocess.Popen[bytes]:
    program = paths.build_dir() / "systems" / "sandstorm" / "sandstorm"
    read_end, write_end = os.pipe()
    words = ["ip", "netns", "exec", wire.server, str(program), "--root", str(root), "--variant", variant,
             "--port", f"afxdp:{wire.server_if}", "--address", f"{SERVER}/24",
             "--ready-fd", str(write_end)]  # fmt: skip
    with log.open("wb") as stderr:
        server = subprocess.Popen(words, pass_fds=[write_end], stderr=stderr)
    os.close(write_end)
    ready = select.select([read_end], [], [], 60)[0] and os.read(read_end, 16) == b"ready\n"
    os.close(read_end)
    if not ready:
        server.kill()
        server.wait()
        pytest.fail(f"sandstorm did not get ready: {log.read_text()}")
    return server


@pytest.fixture(params=["precopy", "memcpy"])
def wire(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Wire]:
    """A veth pair with Sandstorm at one end. It must stop cleanly when the test is over."""
    program = paths.build_dir() / "systems" / "sandstorm" / "sandstorm"
    if not program.exists():
        pytest.skip(f"{program} is not built")
    w = Wire(f"rigt-{os.getpid()}-s", f"rigt-{os.getpid()}-c")
    server = None
    try:
        w.up()
        server = start(w, content_root(tmp_path / "root"), request.param, tmp_path / "log")
        yield w
        server.terminate()
        assert server.wait(timeout=30) == 0, (tmp_path / "log").read_text()
    finally:
        if server is not None:
            server.kill()
            server.wait()
        w.down()


@dataclass(frozen=True)
class Answer:
    status: int
    length: int
    sha256: str
    date: str
    connection: str

    @property
    def body(self) -> tuple[int, str]:
        return self.length, self.sha256


def ask(w: Wire, connections: list[list[str]], *, persistent: bool) -> list[list[Answer]]:
    job = json.dumps({"server": SERVER, "connections": connections, "persistent": persistent})
    words = ["ip", "netns", "exec", w.client, sys.executable, "-c", CLIENT]
    done = subprocess.run(words, input=job, capture_output=True, text=True, check=True, timeout=120)
    return [[Answer(*answer) for answer in one] for one in json.loads(done.stdout)]


def curl(w: Wire, *words: str) -> bytes:
    command = ["ip", "netns", "exec", w.client, "curl", "--silent", "--max-time", "30", *words]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


def expected(path: str) -> tuple[int, str]:
    body = FILES[path.strip("/").replace("%20", " ")]
    return len(body), hashlib.sha256(body).hexdigest()


PATHS = ["/f64", "/page.html", "/sub/index.html", "/empty", "/a%20b"]


def test_a_persistent_connection(wire: Wire) -> None:
    wanted = PATHS * 40
    answers = ask(wire, [wanted], persistent=True)[0]
    assert [(a.status, a.connection) for a in answers] == [(200, "keep-alive")] * len(wanted)
    assert [a.body for a in answers] == [expected(path) for path in wanted]


def test_a_connection_per_request_on_many_at_a_time(wire: Wire) -> None:
    answers = ask(wire, [PATHS * 4] * 30, persistent=False)
    for one in answers:
        assert [a.body for a in one] == [expected(p) for p in PATHS * 4]


def test_large_files_beside_each_other(wire: Wire) -> None:
    for one in ask(wire, [["/large"]] * 4, persistent=True):
        assert [a.body for a in one] == [expected("/large")]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(wire: Wire) -> None:
    url = f"http://{SERVER}"
    assert curl(wire, f"{url}/page.html") == FILES["page.html"]
    assert curl(wire, "-L", f"{url}/sub") == FILES["sub/index.html"], "a redirect is followed"
    head = curl(wire, "--head", f"{url}/large").decode()
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert "Content-Length: 3000000\r\n" in head
    status = ["--output", "/dev/null", "--write-out", "%{http_code}"]
    for words, code in [
        ([f"{url}/none"], b"404"),
        (["--path-as-is", f"{url}/../../etc/passwd"], b"400"),
        (["--data", "x=1", f"{url}/f64"], b"405"),
        (["--header", "X: " + "a" * 9000, f"{url}/f64"], b"431"),
        (["--http1.0", f"{url}/f64"], b"200"),
    ]:
        assert curl(wire, *status, *words) == code, words


def test_over_a_wire_that_loses(wire: Wire) -> None:
    netem = ["tc", "-n", wire.client, "qdisc", "add", "dev", wire.client_if, "root", "netem",
             "delay", "1ms", "loss", "3%"]  # fmt: skip
    done = subprocess.run(netem, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode != 0:
        pytest.skip(f"no netem: {done.stderr.strip()}")
    for one in ask(wire, [[*PATHS, "/large"]] * 5, persistent=True):
        assert [a.body for a in one] == [expected(p) for p in [*PATHS, "/large"]]


def test_both_stacks_answer_pings_of_their_addresses(wire: Wire) -> None:
    run("ip", "-n", wire.server, "address", "add", "10.77.0.3/24", "dev", wire.server_if)
    for address in (SERVER, "10.77.0.3"):
        run("ip", "netns", "exec", wire.client, sys.executable, "-c", PING, address)

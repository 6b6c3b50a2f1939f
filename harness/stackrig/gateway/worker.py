# SPDX-License-Identifier: Apache-2.0
"""What runs on a host: starts and stops programs, reads and writes files, waits. Sent there as source by
execnet, so it needs Python's standard library and nothing of this project.

Each request is a dict with `op` and arguments; each answer is {"ok": result} or {"error": text}. Requests are
served one after the other by the main thread, whose death takes every started program along (PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import queue
import resource
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

# From the outside in: die with the worker; join the control groups; become the program. The program is a session of
# its own and so, where the scheduler groups by session, a group of its own: a nice value counts within a group only
# and the group needs the same.
_JOIN = """
for group in $RIG_CGROUPS; do echo $$ > "$group/cgroup.procs" || exit 125; done
[ "$RIG_NICE" = 0 ] || echo "$RIG_NICE" > /proc/self/autogroup
unset RIG_CGROUPS RIG_NICE
exec "$@"
"""


SILENT = 20  # datagrams in a row without an answer


class Started:
    """A program that this worker started."""

    def __init__(self, process: subprocess.Popen[bytes], stdout: str, stderr: str, ready: int | None) -> None:
        self.process = process
        self.stdout = stdout
        self.stderr = stderr
        self.ready = ready


class SupersededError(Exception):
    """Another request came while this one waited: nobody waits for its answer any more."""


class Worker:
    def __init__(self) -> None:
        self.started: dict[str, Started] = {}
        self.counters: dict[str, list[int]] = {}
        self.requests: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.asked = threading.Event()  # there is a request that waits
        self._taking = threading.Lock()

    def _pause(self, seconds: float) -> None:
        """Sleeps; SupersededError as soon as another request comes."""
        if self.asked.wait(max(0.0, seconds)):
            raise SupersededError("another request came")

    # --- programs -------------------------------------------------------------------------------------------

    def spawn(
        self,
        name: str,
        argv: list[str],
        stdout: str,
        stderr: str,
        cpus: list[int] | None = None,
        cgroups: list[str] | None = None,
        nice: int = 0,
        realtime: bool = False,
        env: dict[str, str] | None = None,
        ready_word: str | None = None,
        cwd: str | None = None,
    ) -> int:
        """Start `argv`; with `ready_word` its arguments get that option and a descriptor to write "ready" to."""
        reader: int | None = None
        passed: tuple[int, ...] = ()
        full = list(argv)
        if ready_word is not None:
            reader, writer = os.pipe()
            passed = (writer,)
            full += [ready_word, str(writer)]
        chain = ["setpriv", "--pdeathsig", "KILL"]
        if cpus:
            chain += ["taskset", "-c", ",".join(map(str, cpus))]
        if realtime:
            chain += ["chrt", "--rr", "1"]
        elif nice:
            chain += ["nice", "-n", str(nice)]
        chain += ["sh", "-c", _JOIN, "sh", *full]
        group_nice = str(nice) if Path("/proc/self/autogroup").exists() else "0"
        environment = {
            **os.environ,
            **(env or {}),
            "RIG_CGROUPS": " ".join(cgroups or []),
            "RIG_NICE": group_nice,
        }
        with Path(stdout).open("ab") as out, Path(stderr).open("ab") as err:
            process = subprocess.Popen(
                chain,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                cwd=cwd,
                pass_fds=passed,
                start_new_session=True,
            )
        for descriptor in passed:
            os.close(descriptor)
        self.started[name] = Started(process, stdout, stderr, reader)
        return process.pid

    def wait_ready(self, name: str, seconds: float) -> str:
        """Until the program says it is ready: "ready", "died CODE" or "timeout"."""
        it = self.started[name]
        assert it.ready is not None
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(it.ready, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                if selector.select(min(left, 0.5)):
                    said = os.read(it.ready, 64)
                    if said.startswith(b"ready"):
                        return "ready"
                    it.process.wait(timeout=5)  # closed without a word: it is going
                if (code := it.process.poll()) is not None:
                    return f"died {code}"
                self._pause(0)
        return "timeout"

    def wait_connect(self, name: str, address: str, port: int, seconds: float) -> str:
        """Until the program accepts a connection: for those that do not say when they are ready."""
        it = self.started[name]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if (code := it.process.poll()) is not None:
                return f"died {code}"
            with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=0.5):
                return "ready"
            self._pause(0.02)
        return "timeout"

    def wait_counter(self, name: str, path: str, rise: int, seconds: float) -> str:
        """Until the number in a file of the kernel's has risen so much: for those whose beginning shows there."""
        it = self.started[name]
        first = int(Path(path).read_text())
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if int(Path(path).read_text()) - first >= rise:
                return "ready"
            if (code := it.process.poll()) is not None:
                return f"died {code}"
            self._pause(0.01)
        return "timeout"

    def wait(self, name: str, seconds: float) -> int | None:
        """Its exit code, or None if it still runs after that long."""
        process, deadline = self.started[name].process, time.monotonic() + seconds
        while (code := process.poll()) is None and (left := deadline - time.monotonic()) > 0:
            self._pause(min(left, 0.02))
        return code

    def stop(self, name: str, grace: float) -> dict[str, Any]:
        """SIGTERM, after `grace` seconds SIGKILL, to the program and what it has started."""
        it = self.started.pop(name)
        if it.ready is not None:
            os.close(it.ready)
        by_itself = it.process.poll()
        killed = False
        if by_itself is None:
            with contextlib.suppress(ProcessLookupError):
                it.process.send_signal(signal.SIGTERM)
            try:
                it.process.wait(timeout=grace)
            except subprocess.TimeoutExpired:
                killed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(it.process.pid, signal.SIGKILL)
        code = it.process.wait(timeout=10)
        return {"code": code, "by_itself": by_itself is not None, "killed": killed}

    def run(self, argv: list[str], stdin: str = "", timeout: float = 30.0) -> dict[str, Any]:
        """A short command to its end."""
        try:
            done = subprocess.run(
                argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
            )
        except FileNotFoundError:
            return {"code": 127, "out": "", "err": f"{argv[0]}: not found"}
        except subprocess.TimeoutExpired:
            return {"code": 124, "out": "", "err": f"{argv[0]}: no end after {timeout} s"}
        return {"code": done.returncode, "out": done.stdout, "err": done.stderr}

    # --- files ----------------------------------------------------------------------------------------------

    def read(self, files: list[str], binaries: list[str] | None = None) -> dict[str, Any]:
        """Contents of many small files, as near in time to each other as can be, and when that was."""
        texts: dict[str, str | bytes | None] = {}
        before = time.monotonic_ns()
        for path in binaries or []:
            try:
                texts[path] = Path(path).read_bytes()
            except OSError:
                texts[path] = None
        for path in files:
            try:
                texts[path] = Path(path).read_text(errors="replace")
            except OSError:
                texts[path] = None
        return {"ns": (before + time.monotonic_ns()) // 2, "texts": texts}

    def window(self, files: list[str], binaries: list[str], begin: float, length: float) -> dict[str, Any]:
        """The same files at both ends of a window that begins `begin` seconds from now. Sleeps in between:
        measuring must not cost."""
        self._pause(begin)
        first = self.read(files, binaries)
        self._pause(length)
        return {"first": first, "last": self.read(files, binaries)}

    def get(self, path: str) -> bytes:
        return Path(path).read_bytes()

    def put(self, path: str, data: bytes | str) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(data.encode() if isinstance(data, str) else data)

    def write(self, path: str, text: str) -> str | None:
        """Into a file of the kernel's; the reason where it does not take it."""
        try:
            Path(path).write_text(text)
        except OSError as error:
            return str(error.strerror)
        return None

    def tail(self, path: str, size: int = 4096) -> str:
        try:
            with Path(path).open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - size))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def mkdir(self, path: str) -> None:
        Path(path).mkdir(parents=True, exist_ok=True)

    def rmtree(self, path: str) -> None:
        shutil.rmtree(path, ignore_errors=True)

    def mount_kernel_files(self, hierarchies: dict[str, str]) -> None:
        """`ip netns exec` lays a new /sys over the old one, without control groups and tracepoints: mount them
        again, in this process' own mount namespace. `hierarchies`: mount point → options of v1, or "cgroup2"."""
        tracing = Path("/sys/kernel/tracing")
        if tracing.is_dir() and not any(tracing.iterdir()):
            with contextlib.suppress(OSError):  # its lack is told where a tracepoint is asked for
                self._mount("tracefs", str(tracing), "")
        base = Path("/sys/fs/cgroup")
        if not base.is_dir():
            return
        if "cgroup2" in hierarchies.values() and str(base) in hierarchies:
            self._mount("cgroup2", str(base), "")
            return
        self._mount("tmpfs", str(base), "mode=755")
        for point, options in hierarchies.items():
            Path(point).mkdir(parents=True, exist_ok=True)
            self._mount("cgroup", point, options)

    def _mount(self, kind: str, point: str, options: str) -> None:
        more = ["-o", options] if options else []
        done = self.run(["mount", "-t", kind, *more, "none", point])
        if done["code"] != 0:
            raise OSError(f"mount of {kind} on {point}: {done['err'].strip()}")

    # --- the network ----------------------------------------------------------------------------------------

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

    # --- counting events ------------------------------------------------------------------------------------

    def count_open(self, pids: list[int], tracepoint: str) -> list[int]:
        """Start counting a tracepoint in every thread of `pids` with perf events; the kernel adds, nobody wakes."""
        number = next(
            (
                int((base / tracepoint / "id").read_text())
                for base in (Path("/sys/kernel/tracing/events"), Path("/sys/kernel/debug/tracing/events"))
                if (base / tracepoint / "id").exists()
            ),
            None,
        )
        if number is None:
            raise OSError(f"tracepoint {tracepoint} not found: is tracefs mounted?")
        descriptors: list[int] = []
        try:
            for pid in pids:
                for thread in Path(f"/proc/{pid}/task").iterdir():
                    descriptors.append(_perf_open(number, int(thread.name)))
        except OSError:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return descriptors

    def count_close(self, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    def count(self, descriptors: list[int], begin: float, length: float) -> dict[str, Any]:
        """How often a tracepoint that is open fired within a window. Opening is no part of it: the first to ask for
        a tracepoint waits for all cores, and a window that waits as well ends after what it was to look at."""
        self._pause(begin)
        start, first = time.monotonic_ns(), _fired(descriptors)
        self._pause(length)
        end, last = time.monotonic_ns(), _fired(descriptors)
        return {"count": last - first, "ns": end - start}

    def place_threads(self, prefix: str, cores: list[int], nice: int, realtime: int) -> list[dict[str, Any]]:
        """Pin kernel threads by name, the i-th onto the i-th core in turn, at real-time priority `realtime` or, where
        that is 0, at `nice`; what was read back."""
        found: list[tuple[str, int]] = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    name = (folder / "comm").read_text().strip()
                    if name.startswith(prefix):
                        found.append((name, int(folder.name)))
        placed = []
        for index, (name, tid) in enumerate(sorted(found)):
            os.sched_setaffinity(tid, {cores[index % len(cores)]})
            if realtime:
                os.sched_setscheduler(tid, os.SCHED_RR, os.sched_param(realtime))
            else:
                os.setpriority(os.PRIO_PROCESS, tid, nice)
            placed.append({"tid": tid, "name": name, "cores": sorted(os.sched_getaffinity(tid))})
        return placed

    def hurry(self, nice: int, realtime: bool) -> None:
        """Be no later than what is measured: counters are read at the ends of a window, not when the load leaves
        a core free. What this worker starts does not inherit it."""
        if realtime:
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(2))
            return
        os.sched_setscheduler(0, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        with contextlib.suppress(OSError):  # there where the scheduler groups by session only
            Path("/proc/self/autogroup").write_text(str(nice))

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

    def serve(self, channel: Any) -> None:
        channel.setcallback(self._take, endmarker=None)
        while (request := self._next()) is not None:
            serial = request.pop("serial")
            try:
                operation = getattr(self, request.pop("op"))
                answer = {"serial": serial, "ok": operation(**request)}
            except Exception as error:
                answer = {"serial": serial, "error": f"{type(error).__name__}: {error}"}
            channel.send(answer)
        for name in list(self.started):
            with contextlib.suppress(Exception):
                self.stop(name, 0.5)


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


def _fired(descriptors: list[int]) -> int:
    """What perf events have counted so far."""
    return sum(int(struct.unpack("Q", os.read(descriptor, 8))[0]) for descriptor in descriptors)


def _perf_open(tracepoint: int, thread: int) -> int:
    # struct perf_event_attr, version 0 (64 bytes): type TRACEPOINT = 2, flags bit 1 = inherit
    attributes = struct.pack("IIQQQQQIIQ", 2, 64, tracepoint, 0, 0, 0, 1 << 1, 0, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    number = {"x86_64": 298, "aarch64": 241}[os.uname().machine]
    descriptor = libc.syscall(number, ctypes.c_char_p(attributes), thread, -1, -1, 8)
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"perf_event_open: {os.strerror(code)}")
    return int(descriptor)


def _raise_open_files() -> None:
    """As many descriptors as this machine lets anyone have: a client holds one per connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = int(Path("/proc/sys/fs/nr_open").read_text())
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__channelexec__":
    _raise_open_files()
    Worker().serve(channel)  # type: ignore[name-defined]  # noqa: F821  (execnet gives it)

# SPDX-License-Identifier: Apache-2.0
"""What tests of programs share: a wire between two namespaces, and how bad words are refused."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

CLIENT = "10.77.0.1"


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=60)


def refusal(program: str, *words: str) -> str:
    """What a program says to words that it does not take: one line with its name, exit code 2."""
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith(f"{Path(program).name}: ")
    assert done.stderr.count("\n") == 1, "one line"
    return done.stderr


@dataclass
class Wire:
    """Two namespaces and the veth pair between them."""

    server: str
    client: str
    server_if: str = "veths"
    client_if: str = "vethc"

    def up(self) -> None:
        for ns in (self.server, self.client):
            run("ip", "netns", "add", ns)
        run("ip", "-n", self.server, "link", "add", self.server_if, "type", "veth",
            "peer", "name", self.client_if, "netns", self.client)  # fmt: skip
        run("ip", "-n", self.client, "address", "add", f"{CLIENT}/24", "dev", self.client_if)
        run("ip", "-n", self.server, "link", "set", self.server_if, "up")
        run("ip", "-n", self.client, "link", "set", self.client_if, "up")
        run("ip", "netns", "exec", self.client, "ethtool", "-K", self.client_if,
            "tx", "off", "tso", "off", "gso", "off")  # fmt: skip

    def down(self) -> None:
        for ns in (self.server, self.client):
            subprocess.run(["ip", "netns", "delete", ns], capture_output=True, check=False, timeout=30)

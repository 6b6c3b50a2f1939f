# SPDX-License-Identifier: Apache-2.0
"""Signs zones of the gate with ldns' tools, once per run. What is random in it (keys, signatures) is the same for
all servers, as all serve the same files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

TOOLS = ("ldns-keygen", "ldns-signzone")


class SigningError(Exception):
    """Says which command failed, and how."""


def lacking() -> list[str]:
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def sign(origin: str, plain: Path, how: tuple[str, ...]) -> Path:
    """The signed zone's file beside the plain one. `how`: further words for ldns-signzone."""
    folder = plain.parent
    key = _run(folder, "ldns-keygen", "-a", "ECDSAP256SHA256", "-k", f"{origin}.").strip()
    signed = plain.with_name(f"{plain.name}.signed")
    _run(folder, "ldns-signzone", "-o", f"{origin}.", "-f", str(signed), *how, str(plain), str(folder / key))
    return signed


def _run(folder: Path, *words: str) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise SigningError(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout

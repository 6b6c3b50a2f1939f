# SPDX-License-Identifier: Apache-2.0
"""What servers serve: files whose every byte follows from name and seed, so that any host makes the same."""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass
from pathlib import Path

from stackrig.model.workload import Content

# Bounds of the corpus, bytes: "from a few KB up to about 20 MB" (thesis, section 3.3.2).
CORPUS_LEAST, CORPUS_MOST = 2 << 10, 20 << 20


@dataclass(frozen=True)
class File:
    name: str
    size: int

    @property
    def path(self) -> str:
        return f"/{self.name}"


def files_of(content: Content, file_size: int | None) -> list[File]:
    """The files of a workload at one point of the grid."""
    if content.kind == "single":
        size = 64 if file_size is None else file_size
        return [File(f"f{size}", size)]
    return corpus(content.files, content.seed)


def corpus(count: int, seed: int) -> list[File]:
    """Sizes after the Yahoo! CDN as the thesis tells it: 90 % under 25 KB, the rest a tail up to 20 MB.

    Sizes are log-uniform in the body and Pareto in the tail; quantiles are taken at even steps, so that the 90 %
    holds in every corpus and not on the average only. The seed decides which name has which size.
    """
    sizes = []
    for index in range(count):
        u = (index + 0.5) / count
        if u < 0.9:
            # Between 2 KB and 25 KB, evenly in the logarithm.
            size = CORPUS_LEAST * (25_000 / CORPUS_LEAST) ** (u / 0.9)
        else:
            # From 25 KB on: P(size > s) falls as s^-0.793, which ends at 20 MB for the last of 1,000.
            size = 25_000 * ((1 - u) / 0.1) ** (-1 / 0.793)
        sizes.append(min(CORPUS_MOST, math.floor(size)))
    random.Random(seed).shuffle(sizes)
    return [File(f"c{index:05d}", size) for index, size in enumerate(sizes)]


def bytes_of(file: File) -> bytes:
    """The file's content. Printable, so that a page in a log can be read, and without repetition at page size."""
    unit = b"".join(
        hashlib.sha256(f"{file.name}:{file.size}:{i}".encode()).hexdigest().encode() for i in range(17)
    )  # 1088 bytes: no multiple of a segment or a page
    return (unit * (file.size // len(unit) + 1))[: file.size]


def lay_out(files: list[File], folder: Path) -> Path:
    """The files in `folder`, those that are there already left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        path = folder / file.name
        if not path.exists() or path.stat().st_size != file.size:
            path.write_bytes(bytes_of(file))
    return folder

# SPDX-License-Identifier: Apache-2.0
"""Where this machine keeps its CPU accounting: control groups v1 (cpuacct) or v2 (cpu.stat)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Hierarchy:
    """`version` 1: cpuacct mounted at `base` with `options`. 2: the unified hierarchy. 0: none."""

    version: int
    base: Path
    options: str = ""

    def group(self, name: str) -> Path:
        return self.base / name

    def usage_file(self, group: Path) -> str:
        return str(group / ("cpuacct.usage" if self.version == 1 else "cpu.stat"))

    def per_core_file(self) -> str | None:
        """CPU time of all tasks by core, which only v1 gives."""
        return str(self.base / "cpuacct.usage_percpu") if self.version == 1 else None

    def usage_ns(self, text: str) -> int:
        """CPU time of a group from the text of its usage file."""
        if self.version == 1:
            return int(text)
        for line in text.splitlines():
            if line.startswith("usage_usec"):
                return int(line.split()[1]) * 1000
        raise ValueError("cpu.stat has no usage_usec")

    def mounts(self) -> dict[str, str]:
        """What Worker.mount_kernel_files needs to see the same groups behind `ip netns exec`."""
        if self.version == 2:
            return {str(self.base): "cgroup2"}
        return {str(self.base): self.options}


@cache
def hierarchy(mounts: str = "/proc/self/mounts") -> Hierarchy:
    unified: Hierarchy | None = None
    for line in Path(mounts).read_text().splitlines():
        _, point, kind, options, *_ = line.split()
        words = options.split(",")
        if kind == "cgroup" and "cpuacct" in words:
            controllers = [word for word in words if word in ("cpu", "cpuacct")]
            return Hierarchy(1, Path(point), ",".join(controllers))
        if kind == "cgroup2" and unified is None:
            unified = Hierarchy(2, Path(point))
    return unified or Hierarchy(0, Path("/nonexistent"))

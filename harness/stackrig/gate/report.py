# SPDX-License-Identifier: Apache-2.0
"""What a gate found, whatever the protocol."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_FINDINGS = 12


@dataclass
class Report:
    """What the gate found. `skipped`: what could not be checked on this wire, and why."""

    findings: list[str] = field(default_factory=list)
    checked: int = 0
    skipped: list[str] = field(default_factory=list)
    header_bytes: int = 0
    seed: int | None = None  # of what was asked at random

    def as_json(self) -> dict[str, object]:
        """As it is kept with a trial and printed for scripts."""
        told: dict[str, object] = {"ok": self.ok, "checked": self.checked, "findings": self.findings}
        return told | {"skipped": self.skipped} | ({} if self.seed is None else {"seed": self.seed})

    @property
    def ok(self) -> bool:
        return not self.findings

    def told(self) -> str:
        more = len(self.findings) - MAX_FINDINGS
        rest = [f"and {more} more"] if more > 0 else []
        return "; ".join([*self.findings[:MAX_FINDINGS], *rest])

# SPDX-License-Identifier: Apache-2.0
"""What every model shares: unknown fields are errors, and values are not changed after loading."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict

Scalar = bool | int | float | str

_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 1000, "MB": 10**6, "GB": 10**9}
_SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*(B|[KMG]i?B)$")


class Model(BaseModel):
    """Strict data: a field that nobody knows is a typing error of the author, not a wish to ignore."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def parse_scalar(value: Scalar) -> Scalar:
    """`"4KiB"` → 4096 (bytes); anything else as it is. Sizes are written with their unit everywhere."""
    if isinstance(value, str) and (found := _SIZE.match(value.strip())):
        if found.group(2) in ("KB", "MB", "GB"):
            binary = f"{found.group(2)[0]}iB"
            raise ValueError(
                f"{value!r} may mean 1000 or 1024: write {found.group(1)}{binary}, or the bytes "
                f"({int(float(found.group(1)) * _UNITS[found.group(2)])}B)"
            )
        return int(float(found.group(1)) * _UNITS[found.group(2)])
    return value


def parse_scalars(values: Any) -> Any:
    """parse_scalar over lists and mappings, as a validator before the types are checked."""
    if isinstance(values, dict):
        return {key: parse_scalars(value) for key, value in values.items()}
    if isinstance(values, list):
        return [parse_scalars(value) for value in values]
    return parse_scalar(values) if isinstance(values, str) else values


def format_size(size: int) -> str:
    """4096 → `"4KiB"`: the shortest exact spelling, the inverse of parse_scalar."""
    for unit in ("GiB", "MiB", "KiB"):
        if size >= _UNITS[unit] and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return f"{size}B"

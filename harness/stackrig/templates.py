# SPDX-License-Identifier: Apache-2.0
"""What a system's description says in jinja2: words of its command line, and a baseline's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def environment() -> Environment:
    from jinja2 import Environment, StrictUndefined  # here: half of what `stackrig list` would wait for

    return Environment(
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  (no HTML)
        trim_blocks=True,
        keep_trailing_newline=True,  # HAProxy takes a file without one for truncated
    )

# SPDX-License-Identifier: Apache-2.0
"""What a person did wrong or lacks, told so that they can put it right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class StackrigError(Exception):
    """What a person is told in one message, never as a traceback: the thing, the cause and what to do."""

    exit_code = 1


class UserError(StackrigError):
    """Bad input or a set-up that cannot work: message to stderr, exit code 2, nothing was started."""

    exit_code = 2


class RunError(StackrigError):
    """Something that was started failed: exit code 1. `excerpt` is the end of its log, `remedy` what to do."""

    remedy = "the log above may say more; `stackrig doctor` tells what this machine lacks"

    def __init__(self, message: str, excerpt: str = "") -> None:
        super().__init__(message)
        self.excerpt = excerpt


class SetupError(UserError):
    """This machine or checkout lacks something (root, a program, a kernel feature)."""


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """The names in `known` that `name` may have been meant to be, best first, at most three."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    inside = [other for other in names if name and (name in other or other in name) and other not in close]
    return (close + inside)[:3]


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """`unknown artifact 'figure-3.66'; did you mean figure-3.6? ...`"""
    names = sorted(known)
    close = nearest(name, names)
    hint = f"; did you mean {' or '.join(close)}?" if close else "."
    there = f" There are: {', '.join(names)}." if names else f" There is no {kind} at all."
    return UserError(f"unknown {kind} {name!r}{hint}{there}")

# SPDX-License-Identifier: Apache-2.0
"""The harness' own priority, where the scheduler groups by session and where it does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stackrig.testbed import priority


@pytest.mark.parametrize("content", [None, "", "/autogroup-4 nice 3\n"])
def test_a_missing_or_empty_session_group_is_no_error(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = tmp_path / "autogroup"
    if content is not None:
        group.write_text(content)
    monkeypatch.setattr(priority, "_GROUP", group)
    before = (os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0))
    with priority.Hurried(nice=0, realtime=False) as hurried:
        assert hurried.group_before == ("3" if content else None)
    assert (os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)) == before

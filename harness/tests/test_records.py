# SPDX-License-Identifier: Apache-2.0
"""Records: whole or not there, and never changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stackrig import records
from stackrig.errors import UserError
from stackrig.model.trial import Point, Run, Testbed, Trial
from stackrig.records import RunFolder


def new_run(artifact: str = "figure-x") -> RunFolder:
    return RunFolder.create(
        Run(
            id=records.new_run_id("smoke"), artifact=artifact, profile="smoke", seed=1, status="running",
            started=records.now(), plan={}, host={},
            testbed=Testbed(testbed_class="veth", name="t", hosts=["a"], nics=1, cores={}),
        )
    )  # fmt: skip


def trial(order: int) -> Trial:
    point = Point(system="s", variant="v", label="s", workload="w", load="l", wire="kernel", settings={})
    return Trial(
        id=f"{order:04d}-x", run="r", artifact="a", status="ok", point=point, repetition=0, seed=1, order=order,
        profile="smoke", started="", ended="",
    )  # fmt: skip


def test_a_record_comes_back_as_it_was_written() -> None:
    folder = new_run()
    with folder.writing("0000-x") as unfinished:
        (unfinished / "trial.json").write_text(records.dump(trial(0)))
    assert folder.read() == [trial(0)]
    assert folder.load().schema_version == 1


def test_a_record_that_fails_on_the_way_is_not_there() -> None:
    folder = new_run()
    with pytest.raises(KeyboardInterrupt), folder.writing("0000-x") as unfinished:
        (unfinished / "trial.json").write_text("{")
        raise KeyboardInterrupt
    assert folder.done() == {}
    assert list(folder.trials.iterdir()) == []


def test_a_record_is_never_written_over() -> None:
    folder = new_run()
    for _ in range(1):
        with folder.writing("0000-x") as unfinished:
            (unfinished / "trial.json").write_text("first")
    with pytest.raises(OSError, match="not empty"), folder.writing("0000-x") as unfinished:
        (unfinished / "trial.json").write_text("second")
    assert (folder.trials / "0000-x" / "trial.json").read_text() == "first"


def test_a_killed_writer_leaves_no_half_written_record() -> None:
    folder = new_run()
    script = (
        "import sys, time; from pathlib import Path; from stackrig.records import RunFolder\n"
        f"folder = RunFolder(Path({str(folder.path)!r}))\n"
        "with folder.writing('0000-whole') as unfinished: (unfinished / 'trial.json').write_text('{}')\n"
        "with folder.writing('0001-half') as unfinished:\n"
        "    (unfinished / 'trial.json').write_text('{')\n"
        "    print('half way', flush=True)\n"
        "    time.sleep(60)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "half way\n"
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert set(folder.done()) == {0}, "readers see whole records only"


def test_a_runs_own_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    records.write_whole(path, "one")
    records.write_whole(path, "two")
    assert path.read_text() == "two"
    assert [p.name for p in tmp_path.glob("*.json")] == ["run.json"]


def test_runs_are_found_by_id_and_by_folder() -> None:
    folder = new_run()
    assert records.find_run(folder.path.name).path == folder.path
    assert records.find_run(str(folder.path)).path == folder.path
    assert records.latest_run("figure-x").path == folder.path
    with pytest.raises(UserError, match="unknown run"):
        records.find_run("20010101T000000Z-smoke-0000")

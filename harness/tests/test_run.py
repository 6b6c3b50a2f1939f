# SPDX-License-Identifier: Apache-2.0
"""Runs from the command line to the records, with nginx and wrk and with servers that fail."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackrig import records
from stackrig.cli.main import app
from stackrig.drivers.base import LoadResult
from stackrig.gateway.host import HostError
from stackrig.loads import Generation, LoadError
from stackrig.model.trial import Trial
from stackrig.plan import Planned
from stackrig.testbed.local import LocalTestbed
from stackrig.trial import Attempt, _load_metrics

LIAR = (Path(__file__).with_name("lying_server.py")).read_text()


def liar(lie: str) -> str:
    return LIAR.replace('LIE = sys.argv[4] if len(sys.argv) > 4 else ""', f"LIE = {lie!r}")


def trials() -> list[Trial]:
    return records.latest_run("tiny").read()


@pytest.fixture
def tiny(artifact: Callable[..., None], root_needed: Path) -> Callable[..., None]:
    return artifact


def test_a_run_end_to_end(tiny: Callable[..., None], cli: Callable[..., Any], tmp_path: Path) -> None:
    tiny(systems="nginx, nginx/offloads", sizes="[64B, 64KiB]", metric="[goodput, syscalls_rate]")
    done = cli("run", "tiny", "--profile", "smoke", "--seed", "3")
    assert done.returncode == 0, done.stderr
    assert "4 ok" in done.stdout
    found = trials()
    assert [t.order for t in found] == [0, 1, 2, 3]
    for trial in found:
        assert trial.status == "ok", trial.reason
        metrics = {name: metric.value for name, metric in trial.metrics.items()}
        size = trial.point.settings["file_size"]
        assert isinstance(size, int)
        assert metrics["goodput"] == pytest.approx(8 * size * metrics["requests_rate"], rel=0.01)
        assert metrics["server_cpu_per_request"] > 0
        assert metrics["syscalls_rate"] > 0
        assert metrics["syscalls_per_request"] > 0.5
        assert "no telemetry page" in trial.unavailable["server_busy_percent"]
        assert trial.validity is not None and trial.provenance is not None
        assert trial.validity.placement.value is True, trial.validity.placement.evidence
        # Whether they agree is shown in test_collectors.py: the client takes its time to begin, and so short a trial's
        # counters, read by the clock, need not be of the same moments on a machine that changes its speed.
        assert "bodies" in trial.validity.counters_agree.evidence
        assert trial.validity.counters_agree.value is not None
        assert trial.provenance.congestion_control == {"server": "cubic", "client": "cubic"}
        assert any("nginx" in command[0] for command in trial.provenance.commands)
        folder = records.latest_run("tiny").done()[trial.order]
        assert all((folder / path).exists() for path in [*trial.files.values(), *trial.histograms.values()])
    tso = {t.point.label: t.provenance.offloads for t in found if t.provenance}
    assert not any(f["tso"] for f in tso["nginx"].values())
    assert all(f["tso"] for f in tso["nginx/offloads"].values())
    run = json.loads((records.latest_run("tiny").path / "run.json").read_text())
    assert (run["status"], run["seed"], run["counts"], run["testbed"]["class"]) == (
        "complete",
        3,
        {"ok": 4},
        "veth",
    )


def test_the_raw_output_gives_the_same_figures_again(
    tiny: Callable[..., None], cli: Callable[..., Any]
) -> None:
    from dataclasses import replace

    from stackrig.drivers import base

    tiny()
    assert cli("run", "tiny", "--profile", "smoke").returncode == 0
    (trial,) = trials()
    folder = records.latest_run("tiny").done()[0]
    raw = {"wrk-0": (folder / trial.files["wrk-0"]).read_text()}
    load = base.Load(
        program="", protocol="http", targets=[""], paths=["/f64"], parameters=dict(trial.point.settings),
        warmup_s=0, duration_s=1, wire="kernel", ports=[], cores=[1], seed=1, folder="", content_root="", file_size=64,
    )  # fmt: skip
    again = base.get("wrk").parse(raw, replace(load))
    assert again.requests / again.duration_s == trial.metrics["requests_rate"].value


@pytest.mark.parametrize(
    ("lie", "said", "excerpt"),
    [
        ("dies at once", "died with exit code 1 before it was ready", "no memory for this"),
        ("truncates", "correctness gate: every file on one connection", ""),
        (
            "dies under load",
            "died with exit code 11 while it was under load",
            "segmentation fault in the third year",
        ),
    ],
)
def test_a_server_that_fails_is_recorded_and_the_run_goes_on(
    tiny: Callable[..., None], baseline: Callable[[str, str], None], cli: Callable[..., Any], lie: str, said: str,
    excerpt: str,
) -> None:  # fmt: skip
    baseline("liar", liar(lie))
    tiny(systems="liar, nginx")
    done = cli("run", "tiny", "--profile", "smoke")
    assert done.returncode == 0, done.stderr
    by = {t.point.label: t for t in trials()}
    assert by["nginx"].status == "ok"
    failed = by["liar"]
    assert failed.status == "failed"
    assert said in failed.reason
    assert excerpt in failed.log_excerpt + failed.reason
    assert failed.rerun.startswith(
        "stackrig run tiny --profile smoke --seed 1 --repetitions 1 --point system=liar"
    )
    assert failed.reason in done.stderr
    assert failed.rerun in done.stderr


def test_the_command_that_runs_a_trial_again_runs_it_again(
    tiny: Callable[..., None], cli: Callable[..., Any]
) -> None:
    tiny(systems="nginx, nginx/offloads", sizes="[64B, 4KiB]", repetitions=2)
    assert cli("run", "tiny", "--profile", "smoke", "--point", "system=nginx,file_size=4KiB").returncode == 0
    first = trials()[0]
    assert len(trials()) == 2
    again = cli(*first.rerun.split()[1:])
    assert again.returncode == 0, again.stderr
    (second,) = trials()
    assert second.point == first.point


def test_a_driver_that_is_not_there_is_told_before_anything_is_started(
    project: Path, tiny: Callable[..., None], cli: Callable[..., Any], root_needed: Path
) -> None:
    tiny()
    path = project / "analysis" / "figures" / "none" / "tiny.yaml"
    path.write_text(path.read_text().replace("load: wrk", "load: weighttp"))
    if shutil.which("weighttp"):
        pytest.skip("weighttp is on PATH here")
    done = cli("run", "tiny", "--profile", "smoke")
    assert done.returncode == 2
    assert "weighttp: unavailable, because weighttp is not on PATH" in done.stderr
    assert not root_needed.exists()


def _leftovers(prefixes: set[str]) -> list[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    names = [line.split()[0] for line in listed.splitlines() if line]
    names += [path.name for path in Path("/dev/shm").glob("rig-*")]
    return [name for name in names if any(name.startswith(prefix) for prefix in prefixes)]


def _under_way(root_needed: Path, trials_wanted: int) -> set[str]:
    """Waits until the run has recorded that many trials; the prefixes of what it owns."""
    for _ in range(2000):
        prefixes = {f"rig-{path.stem}-" for path in root_needed.glob("*.json")}
        try:
            if len(records.latest_run("tiny").done()) >= trials_wanted:
                return prefixes
        except Exception:
            pass
        time.sleep(0.1)
    raise AssertionError("the run did not get under way")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_nothing_and_the_run_can_be_resumed(
    tiny: Callable[..., None],
    start: Callable[..., Any],
    cli: Callable[..., Any],
    root_needed: Path,
    number: int,
) -> None:
    tiny(repetitions=4)
    process = start("run", "tiny", "--profile", "smoke")
    prefixes = _under_way(root_needed, 1)
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "go on with: stackrig resume" in said
    assert _leftovers(prefixes) == []
    assert list(root_needed.glob("*.json")) == []
    folder = records.latest_run("tiny")
    assert folder.load().status == "stopped"
    assert all(not path.name.startswith(records.UNFINISHED) for path in folder.trials.iterdir())
    before = {order: path.stat().st_mtime_ns for order, path in folder.done().items()}
    done = cli("resume", folder.path.name)
    assert done.returncode == 0, done.stderr
    assert set(folder.done()) == {0, 1, 2, 3}
    assert all(folder.done()[order].stat().st_mtime_ns == stamp for order, stamp in before.items())
    assert folder.load().status == "complete"


def test_after_sigkill_the_next_start_leaves_nothing(
    tiny: Callable[..., None], start: Callable[..., Any], cli: Callable[..., Any], root_needed: Path
) -> None:
    tiny(repetitions=4)
    process = start("run", "tiny", "--profile", "smoke")
    prefixes = _under_way(root_needed, 1)
    process.kill()
    process.communicate(timeout=120)
    killed = records.latest_run("tiny")
    assert _leftovers(prefixes), "nothing was left: the test proves nothing"
    done = cli("run", "tiny", "--profile", "smoke", "--repetitions", "1")
    assert done.returncode == 0, done.stderr
    assert "removed what an earlier run left behind" in done.stderr
    assert _leftovers(prefixes) == []
    assert all(not path.name.startswith(records.UNFINISHED) for path in killed.trials.iterdir())
    assert all((path / "trial.json").exists() for path in killed.done().values())


def test_receive_work_left_to_the_sender_is_noticed(
    project: Path, tiny: Callable[..., None], cli: Callable[..., Any]
) -> None:
    tiny()
    path = project / "inventory" / "local.yml"
    path.write_text(
        path.read_text().replace("stackrig_receive: napi-threads", "stackrig_receive: sender      ")
    )
    assert cli("run", "tiny", "--profile", "smoke").returncode == 0
    (trial,) = trials()
    assert trial.validity is not None
    assert trial.validity.placement.value is False


def test_a_broken_reference_is_not_the_failure_of_the_system_under_test(
    project: Path, tiny: Callable[..., None], baseline: Callable[[str, str], None], cli: Callable[..., Any]
) -> None:
    baseline("liar", liar(""))
    tiny(systems="liar")
    path = project / "baselines" / "nginx" / "baseline.yaml"
    broken = re.sub(r"(?m)^command: .*", 'command: [sh, -c, "echo no disk left; exit 3"]', path.read_text())
    path.write_text(broken)
    assert cli("run", "tiny", "--profile", "smoke").returncode == 0
    (trial,) = trials()
    assert trial.status == "ok", trial.reason
    gate = json.loads((records.latest_run("tiny").done()[0] / trial.files["gate"]).read_text())
    assert any("nginx died with exit code 3" in skipped for skipped in gate["skipped"])


def in_process(*words: str) -> None:
    """The command in this process, where its parts can be made to fail."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit):
            app(words)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_phase_of_system_calls_that_fails_costs_the_system_calls_only(
    tiny: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny(metric="[goodput, syscalls_rate]")
    start = Generation.start

    def fails(self: Generation, before: Any = None) -> None:
        if self.load.seed % 1_000_003 == 1:  # the phase has a seed of its own
            raise LoadError("wrk ended with exit code 7", "")
        start(self, before)

    monkeypatch.setattr(Generation, "start", fails)
    in_process("run", "tiny", "--profile", "smoke")
    (trial,) = trials()
    assert trial.status == "ok", trial.reason
    assert "wrk ended with exit code 7" in trial.unavailable["syscalls_rate"]


def test_a_failure_of_the_harness_itself_is_a_failed_trial_with_its_traceback(
    tiny: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from stackrig import trial as module

    tiny(repetitions=2)

    def fails(*_: Any) -> Any:
        raise ZeroDivisionError("some mistake")

    monkeypatch.setattr(module, "_status", fails)
    in_process("run", "tiny", "--profile", "smoke", "--json")
    found = trials()
    assert [trial.status for trial in found] == ["failed", "failed"]
    assert found[0].reason == "the harness itself failed: ZeroDivisionError: some mistake"
    assert "in fails" in found[0].log_excerpt


def test_a_run_without_a_good_trial_fails_for_scripts_too(
    tiny: Callable[..., None], baseline: Callable[[str, str], None], cli: Callable[..., Any]
) -> None:
    baseline("liar", liar("dies at once"))
    tiny(systems="liar")
    done = cli("run", "tiny", "--profile", "smoke", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["counts"] == {"failed": 1}


def test_a_run_that_is_still_under_way_is_not_resumed(
    tiny: Callable[..., None], start: Callable[..., Any], cli: Callable[..., Any], root_needed: Path
) -> None:
    tiny(repetitions=6)
    process = start("run", "tiny", "--profile", "smoke")
    _under_way(root_needed, 1)
    done = cli("resume", records.latest_run("tiny").path.name)
    assert done.returncode == 2, done.stdout
    assert f"is still under way (process {process.pid})" in done.stderr
    process.kill()
    process.communicate(timeout=120)
    folder = records.latest_run("tiny")
    first = folder.done()[0] / "trial.json"
    text = first.read_text()
    changed = re.sub(r'("nginx": ")[0-9a-f]{64}', r"\g<1>" + "0" * 64, text)
    assert changed != text
    first.write_text(changed)
    done = cli("resume", folder.path.name)
    assert done.returncode == 0, done.stderr
    assert "warning: nginx is another program" in done.stderr


def test_percentiles_that_few_requests_do_not_support_are_unavailable() -> None:
    attempt = Attempt(Planned(0, 0, 1, None, 0.1, 0.1), "")  # type: ignore[arg-type]
    latency = {"p50": 1e-4, "p99": 2e-4, "p999": 3e-4, "mean": 1e-4}
    _load_metrics(attempt, LoadResult(5000, None, None, 1.0, {}, latency_s=latency), "rigload")
    assert "latency_p99" in attempt.metrics
    assert attempt.unavailable["latency_p999"] == "because it needs 10,000 samples; there are 5,000"


def test_a_host_that_fails_outside_a_trial_is_one_message_not_a_traceback(
    tiny: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny()

    def fails(*_: Any) -> Any:
        raise HostError("host server: hurry: OSError: [Errno 1] Operation not permitted")

    monkeypatch.setattr(LocalTestbed, "_side", fails)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as end:
            app(["run", "tiny", "--profile", "smoke"])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("stackrig: host server: hurry: OSError: [Errno 1] Operation not permitted\n")
    assert "`stackrig doctor` tells what is lacking" in said

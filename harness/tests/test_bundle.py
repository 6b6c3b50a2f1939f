# SPDX-License-Identifier: Apache-2.0
"""The worker as it is sent to a host: one text that needs nothing of this project there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from stackrig.gateway import bundle

FAKE = """
class Channel:
    def __init__(self): self.answers = []
    def setcallback(self, take, endmarker):
        take({"serial": 1, "op": "run", "argv": ["echo", "here"]})
        take({"serial": 2, "op": "play", "steps": []})
        take(endmarker)
    def send(self, answer): self.answers.append(answer)
channel = Channel()
"""


def test_it_runs_where_this_project_is_not(tmp_path: Path) -> None:
    script = FAKE + bundle.source() + "\nprint(channel.answers)\nassert 'stackrig.paths' not in sys.modules\n"
    alone = f"import runpy; runpy.run_path({str(tmp_path / 'all.py')!r}, run_name='__channelexec__')"
    (tmp_path / "all.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", alone], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "{'serial': 1, 'ok': {'code': 0, 'out': 'here\\n', 'err': ''}}" in done.stdout
    assert "{'serial': 2, 'ok': {}}" in done.stdout


def test_every_part_of_the_worker_travels_in_an_order_that_loads() -> None:
    folder = Path(bundle.__file__).parent
    seen: set[str] = set()
    for name in (*bundle.PARTS, "worker"):
        text = (folder / f"{name}.py").read_text()
        needed = set(re.findall(r"^from stackrig\.gateway\.(\w+) import", text, re.M))
        assert needed <= seen, f"{name} imports {needed - seen}, which comes behind it or not at all"
        assert not re.findall(r"^(?:from|import) stackrig(?!\.gateway)", text, re.M)
        seen.add(name)

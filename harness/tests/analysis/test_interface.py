# SPDX-License-Identifier: Apache-2.0
"""A published interface is checked against headers, tests and the tests' results."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from stackrig.claims.interface import Scope, check
from stackrig.claims.judge import judge
from stackrig.claims.verdict import Outcome
from stackrig.model.paper import Claim, Table

TABLE = Table.model_validate(
    {
        "id": "table-9.1",
        "where": {"section": "9", "page": 9},
        "what": "functions",
        "columns": ["Function", "Parameters", "What it does"],
        "rows": [
            ["tcp_bind ()", "pcb, ip", "binds"],
            ["tcp_listen ()", "pcb", "listens"],
            ["tcp_sent ()", "pcb", "sent"],
            ["tcp_close ()", "pcb", "closes"],
            ["tcp_recv ()", "pcb", "receives"],
            ["tcp_rec ()", "pcb", "nothing of the kind"],
            ["netmap_init ()", "interfaces", "starts"],
            ["netmap_output ()", "nring", "sends"],
        ],
    }
)
SCOPE = Scope(
    table="table-9.1", suite="Table31", headers=["lib/*.h"], tests=["lib/*_test.cc"], helpers=["lib/test_*.h"]
)
CLAIM = Claim.model_validate(
    {
        "id": "table-9.1",
        "artifact": "table-9.1",
        "where": {"section": "9", "page": 9},
        "says": "all there",
        "interface": {"table": "table-9.1"},
    }
)
HEADER = """\
// tcp_close() is only spoken of here.
class Stack {
  Result tcp_bind(Tcb& tcb, Address ip);
  Result TcpListen(Tcb& tcb);
  void tcp_sent(Tcb& tcb); void tcp_recv(Tcb& tcb); void tcp_rec();
};
void netmap_init(Interfaces interfaces);
void netmap_output(int nring);
"""
TESTS = """\
TEST(Table31, Binds) { stack.tcp_bind(tcb, {1}); { stack.TcpListen(tcb); } }
TEST(Table31, Starts) { netmap_init(all); }
TEST(Table31, Sends) { netmap_output(1); }
TEST(Table31, tcp_recv_is_called) { listen(); }
TEST(Another, Suite) { stack.tcp_sent(tcb); /* not in Table31 */ }
"""
REPORT = """\
{"testsuites": [{"name": "Table31", "testsuite": [
  {"name": "Binds", "result": "COMPLETED"},
  {"name": "tcp_recv_is_called", "result": "COMPLETED"},
  {"name": "Starts", "result": "SKIPPED", "skipped": [{"message": "stack_test.cc:2\\nneeds root"}]},
  {"name": "Sends", "result": "COMPLETED", "failures": [{"failure": "stack_test.cc:3\\nExpected 1, got 2"}]}
]}]}
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    library = tmp_path / "lib"
    library.mkdir()
    (library / "stack.h").write_text(HEADER)
    (library / "stack_test.cc").write_text(TESTS)
    (library / "test_support.h").write_text("void listen() { stack.tcp_recv(t); stack.tcp_rec(); }")
    return tmp_path


def built(checkout: Path) -> Path:
    """A build with one test program, which behaves like a GoogleTest program."""
    build = checkout / "build"
    (build / "lib").mkdir(parents=True)
    program = build / "lib" / "stack_test"
    program.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "words = dict(word.split('=', 1) for word in sys.argv[1:] if '=' in word)\n"
        "if '--gtest_list_tests' in sys.argv: print('Table31.\\n  Binds')\n"
        f"else: open(words['--gtest_output'].removeprefix('json:'), 'w').write(r'''{REPORT}''')\n"
    )
    program.chmod(0o755)
    entry = {
        "file": str(checkout / "lib" / "stack_test.cc"),
        "command": "c++ -O2 -o lib/CMakeFiles/stack_test.dir/stack_test.cc.o -c stack_test.cc",
    }
    (build / "compile_commands.json").write_text(json.dumps([entry]))
    return build


def outcomes(checkout: Path, build: Path) -> dict[str, tuple[Outcome, str]]:
    interface = check(SCOPE, TABLE, checkout, build)
    return {
        verdict.name.removeprefix("table-9.1."): (verdict.outcome, verdict.finding.because)
        for verdict in judge([CLAIM], None, interface)
    }


def test_each_function_gets_a_verdict_of_its_own(checkout: Path) -> None:
    found = outcomes(checkout, built(checkout))
    assert found["tcp_bind"] == (Outcome.CONFIRMED, "declared in lib/stack.h:3; Table31.Binds passed")
    assert found["tcp_listen"][0] is Outcome.CONFIRMED  # TcpListen: another style, the same name
    assert found["tcp_sent"] == (Outcome.CONTRADICTED, "declared in lib/stack.h:5, but no test uses it")
    # A test that bears the function's name may call it through what the tests share.
    assert found["tcp_recv"][0] is Outcome.CONFIRMED
    assert found["tcp_rec"][0] is Outcome.CONTRADICTED
    assert found["tcp_close"] == (Outcome.CONTRADICTED, "no header declares tcp_close")
    assert found["netmap_init"] == (
        Outcome.NOT_CHECKED,
        "declared in lib/stack.h:7; Table31.Starts skipped: needs root",
    )
    assert found["netmap_output"][0] is Outcome.CONTRADICTED
    assert "Expected 1, got 2" in found["netmap_output"][1]


def test_what_is_not_built_is_not_checked(checkout: Path) -> None:
    found = outcomes(checkout, checkout / "no-build")
    assert found["tcp_bind"][0] is Outcome.NOT_CHECKED
    assert "no built test program" in found["tcp_bind"][1]


def test_what_was_never_looked_at_is_not_checked() -> None:
    (verdict,) = judge([CLAIM], None)
    assert verdict.outcome is Outcome.NOT_CHECKED

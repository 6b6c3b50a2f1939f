# SPDX-License-Identifier: Apache-2.0
"""Drivers: command lines, and raw output as numbers. The raw texts are what the tools print."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from stackrig.drivers import base
from stackrig.drivers.base import Load, LoadResult, ParseError

LOAD = Load(
    program="tool", protocol="http", targets=["10.77.0.1:80"], paths=["/f64"],
    parameters={"mode": "keepalive", "connections": 10},
    warmup_s=0.5, duration_s=2.0, wire="kernel", ports=[], cores=[1], seed=7, folder="/w", content_root="/c",
    file_size=64,
)  # fmt: skip

WRK = """\
Running 1s test @ http://10.77.0.1:80/f64
  1 threads and 4 connections
Requests/sec:  24117.10
STACKRIG {"duration_us":1017000,"requests":24527,"bytes":7284519,"errors":{"connect":0,"read":0,"write":0,\
"status":3,"timeout":1},"latency_us":[[90,10000],[110,14000],[900,500],[5000,27]]}
"""

H2LOAD = """\
starting benchmark...
Application protocol: http/1.1

finished in 2.01s, 61234.50 req/s, 17.46MB/s
requests: 122469 total, 122479 started, 122469 done, 122460 succeeded, 9 failed, 5 errored, 2 timeout
status codes: 122460 2xx, 0 3xx, 4 4xx, 0 5xx
traffic: 34.92MB (36618231) total, 24.18MB (25351083) headers (space savings 0.00%), 7.47MB (7837440) data
                     min         max         mean         sd        +/- sd
time for request:       45us      4.12ms       158us        61us    89.21%
time for connect:      101us       213us       160us        34us    60.00%
"""

WEIGHTTP = """\
weighttp - a lightweight and simple webserver benchmarking tool

starting benchmark...
finished in 1 sec, 204 millisec and 500 microsec, 33208 req/s, 9306 kbyte/s
requests: 40000 total, 40000 started, 40000 done, 39990 succeeded, 10 failed, 4 errored
status codes: 39990 2xx, 0 3xx, 6 4xx, 0 5xx
traffic: 11480000 bytes total, 8920640 bytes http, 2559360 bytes data
"""

DNSPERF = """\
DNS Performance Testing Tool
Version 2.10.0

[Status] Testing complete (time limit)
[Timeout] Query timed out: msg id 249

Statistics:

  Queries sent:         351910
  Queries completed:    351908 (100.00%)
  Queries lost:         2 (0.00%)

  Response codes:       NOERROR 351900 (100.00%), SERVFAIL 8 (0.00%)
  Average packet size:  request 37, response 87
  Run time (s):         1.000151
  Queries per second:   351854.869915

  Average Latency (s):  0.000135 (min 0.000066, max 0.001311)
  Latency StdDev (s):   0.000032
"""

KXDPGUN = """\
using interface rig51bfc0, XDP threads 1, UDP, native mode
thread#00: sent 1384405, received 143376, lost 19403
total queries:     1384405 (692202 pps)
total replies:     143376 (71688 pps) (10%)
average DNS reply size: 53 B
average Ethernet reply rate: 108965760 bps (108.97 Mbps)
responded NOERROR:   143370
responded NXDOMAIN:   6
duration: 2 s
"""

RIGLOAD = {
    "schema": 1, "tool": "rigload", "loop": "open", "offered_rate": 5000.0,
    "phases": [
        {"name": "warmup", "duration_s": 0.5, "requests_completed": 1, "connections_completed": 1, "bytes_body": 1,
         "errors": {}, "latency_ns": {"count": 0}},
        {"name": "measure", "duration_s": 2.0, "requests_completed": 9990, "connections_completed": 9990,
         "bytes_body": 639360, "bytes_wire_rx": 900000, "errors": {"timeout": 3, "content": 0, "unsent": 7},
         "latency_ns": {"count": 9990, "min": 1000, "max": 90000, "mean": 20000, "p50": 15000, "p90": 30000,
                        "p99": 80000, "p999": 90000,
                        "histogram": {"kind": "loglinear-6", "buckets": [[15000, 9000], [80000, 990]]}},
         "client": {"busy_ratio": 0.25}},
    ],
}  # fmt: skip


def parse(name: str, text: str, load: Load = LOAD) -> LoadResult:
    return base.get(name).parse({name if name == "rigload" else f"{name}-0": text}, load)


def test_wrk() -> None:
    found = parse("wrk", WRK)
    assert (found.requests, found.duration_s, found.errors["status"]) == (24527, 1.017, 3)
    assert found.body_bytes == (24527 - 3) * 64
    assert found.connections is None
    assert found.latency_s["p50"] == pytest.approx(110e-6)
    assert found.latency_s["p99"] == pytest.approx(900e-6)


def test_wrk_counts_headers_out_where_sizes_differ() -> None:
    found = parse("wrk", WRK, replace(LOAD, file_size=None, header_bytes=200))
    assert found.body_bytes == 7284519 - 24527 * 200


def test_wrk_on_several_nics_adds_counts_and_merges_histograms() -> None:
    found = base.get("wrk").parse({"wrk-0": WRK, "wrk-1": WRK.replace("[90,10000]", "[90,90000]")}, LOAD)
    assert found.requests == 2 * 24527
    assert found.latency_s["p50"] == pytest.approx(90e-6), "percentiles come from the merged counts"


def test_h2load() -> None:
    found = parse("h2load", H2LOAD)
    assert (found.requests, found.body_bytes, found.duration_s) == (122460, 7837440, 2.01)
    assert found.errors == {"status": 4, "reset": 3, "timeout": 2}
    assert found.latency_s == {"mean": pytest.approx(158e-6)}
    assert "minimum, maximum and mean only" in found.unavailable["latency_p99"]


def test_h2load_on_several_nics_has_no_latency_rather_than_an_averaged_one() -> None:
    found = base.get("h2load").parse({"h2load-0": H2LOAD, "h2load-1": H2LOAD}, LOAD)
    assert found.latency_s == {}
    assert "without histograms" in found.unavailable["latency"]


def test_weighttp() -> None:
    found = parse("weighttp", WEIGHTTP, replace(LOAD, parameters={"mode": "close"}))
    assert (found.requests, found.connections, found.body_bytes) == (39990, 39990, 2559360)
    assert found.duration_s == pytest.approx(1.2045)
    assert found.errors == {"status": 10, "reset": 4}


def test_weighttp_counts_what_fills_the_phase() -> None:
    warmup = parse("weighttp", WEIGHTTP)
    (command,) = base.get("weighttp").commands(LOAD, "measure", warmup)
    assert int(command.argv[command.argv.index("-n") + 1]) == int(39990 / 1.2045 * 2.0)


def test_rigload() -> None:
    found = parse("rigload", json.dumps(RIGLOAD))
    assert (found.requests, found.offered_rate, found.busy) == (9990, 5000.0, 0.25)
    assert found.failed_requests == 10
    assert found.latency_s["p99"] == pytest.approx(80e-6)
    assert found.histogram == [(15000, 9000), (80000, 990)]
    assert found.latency_how == "rigload, from the due time"


def test_rigloads_answers_that_nobody_waited_for_are_those_of_the_measured_phase_and_after() -> None:
    assert parse("rigload", json.dumps(RIGLOAD)).unasked is None, "TCP knows no such thing"
    phases = [{**phase, "answers_unasked": 3} for phase in RIGLOAD["phases"]]  # type: ignore[attr-defined]
    drain = {"name": "drain", "answers_unasked": 4}
    assert parse("rigload", json.dumps({**RIGLOAD, "phases": [*phases, drain]})).unasked == 7


def test_a_connection_that_ended_badly_behind_its_answer_is_no_failed_request() -> None:
    text = json.dumps(RIGLOAD)
    found = parse("rigload", text.replace('"errors": {"timeout"', '"errors": {"ending": 7, "timeout"'))
    assert found.errors["ending"] == 7
    assert found.failed_requests == 10


ZONE = replace(LOAD, protocol="dns", targets=["10.77.0.1:53"], paths=[], interfaces=["c0"], parameters={})


def test_dnsperf() -> None:
    found = parse("dnsperf", DNSPERF, ZONE)
    assert (found.requests, found.sent, found.body_bytes) == (351900, 351910, 351900 * 87)
    assert found.errors == {"timeout": 2, "status": 8}
    assert found.latency_s == {"mean": pytest.approx(135e-6)}
    assert found.duration_s == 1.000151


def test_kxdpgun_counts_answers_and_what_is_not_answered_is_no_error() -> None:
    found = base.get("kxdpgun").parse({"kxdpgun": KXDPGUN}, ZONE)
    assert (found.requests, found.sent, found.duration_s) == (143370, 1384405, 2.0)
    assert found.errors == {"status": 6}
    assert found.offered_rate == pytest.approx(692202.5)


def test_kxdpgun_takes_its_program_off_the_interface() -> None:
    (command,) = base.get("kxdpgun").commands(ZONE, "measure", None)
    assert command.clean_up == ["ip", "link", "set", "dev", "c0", "xdp", "off"]


def test_kxdpgun_refuses_what_is_no_interface() -> None:
    assert "one interface" in str(base.get("kxdpgun").refuses(replace(ZONE, interfaces=["c0", "c1"])))
    assert "shm" in str(base.get("kxdpgun").refuses(replace(ZONE, wire="shm")))


def test_rigload_asks_a_zone_by_its_queries_and_checks_what_comes_back() -> None:
    (command,) = base.get("rigload").commands(replace(ZONE, parameters={"outstanding": 99}), "measure", None)
    assert command.argv[:3] == ["tool", "dns", "--kernel"]
    told = " ".join(command.argv)
    assert "--queries /c/queries.txt --expected /c/expected.txt --order random --outstanding 99" in told
    in_order = replace(ZONE, parameters={"order": "file"})
    assert "--order file" in " ".join(base.get("rigload").commands(in_order, "measure", None)[0].argv)


@pytest.mark.parametrize("name", ["wrk", "h2load", "weighttp", "rigload", "dnsperf"])
@pytest.mark.parametrize("text", ["", "segmentation fault", '{"phases": []}', "STACKRIG {"])
def test_output_that_is_not_the_tools_is_an_error_and_no_zero(name: str, text: str) -> None:
    with pytest.raises(ParseError):
        parse(name, text)


def test_rigload_over_ports() -> None:
    load = replace(
        LOAD, wire="afxdp", targets=["10.77.0.2:80", "10.77.1.2:80"],
        ports=[("afxdp:c0?queues=1", "10.77.0.201/24"), ("afxdp:c1?queues=1", "10.77.1.201/24")],
        parameters={"mode": "close", "connections": 64, "loop": "open", "rate": 1000.0, "source_addresses": 8},
    )  # fmt: skip
    (command,) = base.get("rigload").commands(load, "measure", None)
    words = " ".join(command.argv)
    assert "--port afxdp:c0?queues=1 --address 10.77.0.201/24 --port afxdp:c1" in words
    assert "--target 10.77.0.2:80 --target 10.77.1.2:80" in words
    assert "--loop open --rate 1000.0" in words
    assert "--kernel" not in words
    assert (command.output, command.ready_word) == ("/w/rigload.json", "--ready-fd")


def test_many_paths_go_into_a_file() -> None:
    (command,) = base.get("rigload").commands(replace(LOAD, paths=["/a", "/b"]), "measure", None)
    assert command.files == {"/w/paths.txt": "/a\n/b\n"}


def test_connections_are_dealt_out_over_nics() -> None:
    load = replace(LOAD, targets=["10.77.0.1:80", "10.77.1.1:80", "10.77.2.1:80"])
    commands = base.get("wrk").commands(load, "measure", None)
    assert [c.argv[2] for c in commands] == ["-c4", "-c3", "-c3"]


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("wrk", {"wire": "afxdp"}, "cannot reach the wire afxdp"),
        ("h2load", {"parameters": {"mode": "close"}}, "keeps its connections"),
        ("weighttp", {"paths": ["/a", "/b"]}, "one URL"),
        ("rigload", {"parameters": {"loop": "open"}}, "needs `rate`"),
    ],
)
def test_a_load_that_is_none_for_a_generator_is_refused(
    name: str, change: dict[str, object], said: str
) -> None:
    refused = base.get(name).refuses(replace(LOAD, **change))  # type: ignore[arg-type]
    assert refused is not None and said in refused

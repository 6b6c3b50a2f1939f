# SPDX-License-Identifier: Apache-2.0
"""One baseline is matched as a whole, or what differs is one of the known ways; what nobody says is found."""

from __future__ import annotations

from stackrig.gate.dns_corpus import TYPES, Question
from tests.dns_answers import SOA, both, judged, judged_along, reply

NAME = Question("x.a.test")
A = "x.a.test. 60 IN A 192.0.2.1"
MANY = tuple(f'x.a.test. 60 IN TXT "{n}{"t" * 200}"' for n in range(4))
TC, OK = "QR AA TC", "QR AA"


def test_each_of_two_baselines_that_differ_is_right_and_a_third_is_not() -> None:
    refused, failed, empty = (reply(NAME, rcode=rcode) for rcode in ("REFUSED", "SERVFAIL", "NOERROR"))
    theirs = {"nsd": both(refused), "knot": both(failed)}
    assert judged(NAME, both(refused), **theirs).ok
    assert judged(NAME, both(failed), **theirs).ok
    assert not judged(NAME, both(empty), **theirs).ok


def test_the_head_of_one_with_the_sections_of_the_other_is_what_nobody_says() -> None:
    whole, cut = reply(NAME, (A,)), reply(NAME, flags=TC)
    theirs = {"nsd": (cut, whole), "knot": both(whole)}
    assert judged(NAME, both(whole), **theirs).ok
    assert judged(NAME, (cut, whole), **theirs).ok
    report = judged(NAME, (reply(NAME), whole), **theirs)
    assert len(report.findings) == 1
    assert "answer: got nothing" in report.told()


def test_an_rcode_of_one_with_the_records_of_the_other_is_what_nobody_says() -> None:
    alias = "x.a.test. 60 IN CNAME gone.a.test."
    followed = reply(NAME, (alias,), (SOA.format("a.test."),), rcode="NXDOMAIN")
    ended = reply(NAME, (alias, "gone.a.test. 60 IN A 192.0.2.9"))
    theirs = {"nsd": both(followed), "knot": both(ended)}
    assert judged(NAME, both(followed), **theirs).ok
    assert judged(NAME, both(ended), **theirs).ok
    mixed = reply(NAME, (alias, "gone.a.test. 60 IN A 192.0.2.9"), rcode="NXDOMAIN")
    assert "no one server says all of it" in judged(NAME, both(mixed), **theirs).told()


# --- NSD without the zone's NS


NS = ("a.test. 60 IN NS ns1.a.test.",)
GLUE = "ns1.a.test. 60 IN A 192.0.2.53"


def test_the_zones_own_ns_and_their_addresses_may_be_left_out_together() -> None:
    theirs = {"nsd": both(reply(NAME, (A,), NS, (GLUE,)))}
    assert judged(NAME, both(reply(NAME, (A,))), **theirs).ok
    assert not judged(NAME, both(reply(NAME, (A,), NS)), **theirs).ok
    assert not judged(NAME, both(reply(NAME, (A,), (), (GLUE,))), **theirs).ok


def test_a_referral_may_not_be_left_out() -> None:
    below = "kid.a.test. 60 IN NS ns.kid.a.test."
    alias = "x.a.test. 60 IN CNAME y.kid.a.test."
    theirs = {"nsd": both(reply(NAME, (alias,), (below,)))}
    assert judged(NAME, both(reply(NAME, (alias,), (below,))), **theirs).ok
    assert not judged(NAME, both(reply(NAME, (alias,))), **theirs).ok


def test_an_address_that_the_answer_itself_leads_to_stays() -> None:
    mx = Question("x.a.test", TYPES["MX"])
    record = "x.a.test. 60 IN MX 10 ns1.a.test."
    theirs = {"nsd": both(reply(mx, (record,), NS, (GLUE,)))}
    assert judged(mx, both(reply(mx, (record,), (), (GLUE,))), **theirs).ok
    assert not judged(mx, both(reply(mx, (record,))), **theirs).ok


def test_an_alias_leads_to_no_additional_address() -> None:
    nsec = Question("x.a.test", TYPES["NSEC"])
    records = ("x.a.test. 60 IN CNAME ns1.a.test.", "ns1.a.test. 60 IN NSEC x.a.test. A RRSIG NSEC")
    theirs = {"nsd": both(reply(nsec, records, NS, (GLUE,)))}
    assert judged(nsec, both(reply(nsec, records)), **theirs).ok


# --- Knot along aliases


ALIAS = "x.a.test. 60 IN CNAME y.b.test."
Y = Question("y.b.test")


def test_aliases_into_another_zone_are_followed_or_not_but_nothing_else() -> None:
    ends = reply(NAME, (ALIAS,))
    rest = {Y: reply(Y, ("y.b.test. 60 IN A 192.0.2.7",))}
    on = reply(NAME, (ALIAS, "y.b.test. 60 IN A 192.0.2.7"))
    wrong = reply(NAME, (ALIAS, "y.b.test. 60 IN A 192.0.2.8"))
    assert judged_along(NAME, both(on), rest, knot=both(ends)).ok
    assert judged_along(NAME, both(ends), rest, knot=both(ends)).ok
    assert not judged_along(NAME, both(wrong), rest, knot=both(ends)).ok


def test_what_the_last_alias_leads_to_decides_the_rcode() -> None:
    ends = reply(NAME, (ALIAS,))
    soa = (SOA.format("b.test."),)
    rest = {Y: reply(Y, (), soa, rcode="NXDOMAIN")}
    assert judged_along(NAME, both(reply(NAME, (ALIAS,), soa, rcode="NXDOMAIN")), rest, knot=both(ends)).ok
    assert not judged_along(NAME, both(reply(NAME, (ALIAS,), soa)), rest, knot=both(ends)).ok
    assert not judged_along(NAME, both(reply(NAME, (ALIAS,), rcode="NXDOMAIN")), rest, knot=both(ends)).ok


def test_a_wildcards_proof_does_not_end_the_chain() -> None:
    question = Question("x.a.test", edns=True, dnssec_ok=True)
    target = Question("y.b.test", edns=True, dnssec_ok=True)
    proof = "a.test. 60 IN NSEC z.a.test. A RRSIG NSEC"
    ends = reply(question, (ALIAS,), (proof,))
    rest = {target: reply(target, ("y.b.test. 60 IN A 192.0.2.7",))}
    on = reply(question, (ALIAS, "y.b.test. 60 IN A 192.0.2.7"), (proof,))
    assert judged_along(question, both(on), rest, knot=both(ends)).ok
    without = reply(question, (ALIAS, "y.b.test. 60 IN A 192.0.2.7"))
    assert not judged_along(question, both(without), rest, knot=both(ends)).ok


def test_only_knots_answers_are_put_together() -> None:
    ends = reply(NAME, (ALIAS,))
    rest = {Y: reply(Y, ("y.b.test. 60 IN A 192.0.2.7",))}
    on = reply(NAME, (ALIAS, "y.b.test. 60 IN A 192.0.2.7"))
    assert not judged_along(NAME, both(on), rest, nsd=both(ends)).ok


# --- ANY


def test_any_is_answered_by_whole_rrsets_of_the_name() -> None:
    every = Question("x.a.test", TYPES["ANY"])
    more = "x.a.test. 60 IN A 192.0.2.2"
    text = 'x.a.test. 60 IN TXT "t"'
    theirs = {"nsd": (reply(every, flags=TC), reply(every, (A, more, text)))}
    for right in ((A, more), (text,), (A, more, text)):
        assert judged(every, both(reply(every, right)), **theirs).ok, right
    for wrong in ((A,), (), (A, more, 'x.a.test. 60 IN TXT "u"'), ("x.a.test. 60 IN MX 1 y.a.test.",)):
        assert not judged(every, both(reply(every, wrong)), **theirs).ok, wrong


def test_any_other_type_is_answered_by_all_of_it() -> None:
    theirs = {"nsd": both(reply(NAME, (A, "x.a.test. 60 IN A 192.0.2.2")))}
    assert not judged(NAME, both(reply(NAME, (A,))), **theirs).ok


# --- room


TEXT = Question("x.a.test", TYPES["TXT"])
MX = Question("x.a.test", TYPES["MX"])


def test_what_does_not_fit_is_truncated_whatever_a_baseline_left_out() -> None:
    theirs = {"nsd": both(reply(TEXT, MANY))}  # a baseline that sends 900 bytes to who takes 512
    assert judged(TEXT, (reply(TEXT, flags=TC), reply(TEXT, MANY)), **theirs).ok
    assert not judged(TEXT, (reply(TEXT, MANY[:2]), reply(TEXT, MANY)), **theirs).ok, "TC is not set"
    assert not judged(TEXT, (reply(TEXT, flags="QR TC"), reply(TEXT, MANY)), **theirs).ok, "AA is lost"
    other = ('x.a.test. 60 IN TXT "another"',)
    assert not judged(TEXT, (reply(TEXT, other, flags=TC), reply(TEXT, MANY)), **theirs).ok


def test_what_fits_is_not_truncated() -> None:
    theirs = {"nsd": both(reply(NAME, (A,)))}
    assert not judged(NAME, (reply(NAME, flags=TC), reply(NAME, (A,))), **theirs).ok


def test_additional_addresses_are_left_out_only_where_there_is_no_room() -> None:
    mx = tuple(f"x.a.test. 60 IN MX {n} host{n}.a.test." for n in range(12))
    hosts = tuple(f"host{n}.a.test. 60 IN AAAA 2001:db8::{n}" for n in range(12))
    whole = reply(MX, mx, (), hosts)
    assert len(whole) > 512
    theirs = {"nsd": (reply(MX, mx, (), hosts[:1]), whole)}
    assert judged(MX, (reply(MX, mx, (), hosts[:5]), whole), **theirs).ok
    assert not judged(MX, (reply(MX, mx[:3], (), hosts[:5]), whole), **theirs).ok
    few = reply(MX, mx[:2], (), hosts[:2])
    assert not judged(MX, (reply(MX, mx[:2]), few), nsd=both(few)).ok


def test_over_tcp_nothing_is_left_out() -> None:
    theirs = {"nsd": both(reply(TEXT, MANY))}
    assert not judged(TEXT, both(reply(TEXT, flags=TC)), **theirs).ok

# SPDX-License-Identifier: Apache-2.0
"""Every form of claim, every verdict, on made-up trials whose truth is known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from stackrig.claims.judge import judge
from stackrig.claims.records import RunData
from stackrig.claims.verdict import Outcome, Verdict, counts, to_json
from stackrig.model.paper import Claim
from stackrig.model.trial import Metric, Trial
from tests.analysis import made_up

SIZES = [4096, 65536, 1048576]
LEAD = "goodput('sandstorm/precopy') / goodput('nginx')"


def claim(**rule: Any) -> Claim:
    given = {"id": "figure-9.9.claim", "artifact": "figure-9.9", "says": "something"}
    where = {"section": "9.9", "page": 9}
    return Claim.model_validate(given | {"where": where} | rule)


def run(lead: Mapping[int, float] | float, **options: Any) -> RunData:
    """Sandstorm is ahead of nginx by `lead`, at each file size."""
    grid = {"nics": [1, 2], "file_size": SIZES}

    def truth(system: str, axes: Mapping[str, Any]) -> Mapping[str, float]:
        size = axes["file_size"]
        ahead = lead if isinstance(lead, float) else lead[size]
        goodput = 1e9 * (ahead if system == "sandstorm/precopy" else 1.0) * axes["nics"] ** 0.1
        return {"goodput": goodput, "server_cpu_cores": 0.9, "requests_rate": goodput / size / 8}

    return made_up.make(made_up.artifact(grid=grid), truth, **options)


def verdict(data: RunData | None, **rule: Any) -> Verdict:
    (found,) = judge([claim(**rule)], data)
    return found


def ratio(**fields: Any) -> dict[str, Any]:
    return {"ratio": {"of": LEAD, "direction": "above"} | fields}


# Ratios -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lead", "outcome"),
    [
        (2.0, Outcome.CONFIRMED),
        (5.0, Outcome.DIRECTION_ONLY),
        (1.2, Outcome.DIRECTION_ONLY),
        (0.5, Outcome.CONTRADICTED),
        (1.0, Outcome.CONTRADICTED),  # no difference, where one was claimed
    ],
)
def test_a_ratio_within_bounds(lead: float, outcome: Outcome) -> None:
    found = verdict(run(lead), **ratio(at_least=1.5, at_most=3.0))
    assert found.outcome is outcome, found.finding.because
    assert len(found.finding.evidence) == 6


def test_a_ratio_at_the_border_says_how_many_repetitions_it_takes() -> None:
    found = verdict(run(2.15, noise=0.2, repetitions=6), **ratio(at_least=2.0))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.finding.repetitions_needed is not None
    assert found.finding.repetitions_needed > 6


def test_a_single_trial_decides_nothing() -> None:
    found = verdict(run(10.0, repetitions=1), **ratio(at_least=2.0))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.finding.repetitions_needed == 3
    assert "single trial" in found.finding.because


def test_three_quiet_repetitions_are_enough_for_a_large_effect_and_noisy_ones_are_not() -> None:
    assert verdict(run(4.0, repetitions=3), **ratio(at_least=2.0)).outcome is Outcome.CONFIRMED
    noisy = verdict(run(4.0, repetitions=3, noise=0.5), **ratio(at_least=2.0))
    assert noisy.outcome is Outcome.INCONCLUSIVE


def test_the_interval_of_three_repetitions_is_wider_than_their_range() -> None:
    found = verdict(run(4.0, repetitions=3, noise=0.1), **ratio(at_least=2.0))
    for one in found.finding.evidence:
        each = [a / b for a, b in zip(*(source.values for source in one.sources), strict=True)]
        assert one.interval.low < min(each) < max(each) < one.interval.high
        assert "Student" in one.interval.method


def test_every_point_must_hold_or_some_or_their_mean() -> None:
    data = run({4096: 4.0, 65536: 3.0, 1048576: 0.8})
    assert verdict(data, **ratio(at_least=2.0)).outcome is Outcome.CONTRADICTED
    assert verdict(data, **ratio(at_least=2.0, points="some")).outcome is Outcome.CONFIRMED
    mean = verdict(data, **ratio(at_least=2.0, at_most=2.3, points="geometric mean"))
    assert mean.outcome is Outcome.CONFIRMED  # (4 * 3 * 0.8) ** (1/3) = 2.13
    nowhere = verdict(run(0.7), **ratio(at_least=2.0, points="some"))
    assert nowhere.outcome is Outcome.CONTRADICTED


def test_only_the_points_that_the_claim_is_about_are_judged() -> None:
    data = run({4096: 4.0, 65536: 1.0, 1048576: 1.0})
    small = ratio(at_least=2.0, over={"file_size": {"below": "64KiB"}, "nics": "largest"})
    found = verdict(data, **small)
    assert found.outcome is Outcome.CONFIRMED
    assert [one.label for one in found.finding.evidence] == ["2 NICs, 4 KiB files"]
    equal = {"of": LEAD, "direction": "none", "at_least": 0.95, "at_most": 1.05}
    over = {"file_size": {"at_least": "64KiB"}}
    assert verdict(data, ratio=equal | {"over": over}).outcome is Outcome.CONFIRMED
    assert verdict(data, ratio=equal).outcome is Outcome.CONTRADICTED


def test_one_bad_draw_of_many_points_does_not_contradict() -> None:
    """Ten points whose truth is the claim's very border: nearly no run may call them contradicted."""
    grid = {"file_size": list(range(10))}
    fig = made_up.artifact(grid=grid)

    def truth(_system: str, _axes: Mapping[str, Any]) -> Mapping[str, float]:
        return {"goodput": 1.0}

    equal = claim(ratio={"of": LEAD, "direction": "none", "at_least": 1.0})
    wrong = sum(
        judge([equal], made_up.make(fig, truth, noise=0.1, seed=seed))[0].outcome is Outcome.CONTRADICTED
        for seed in range(20)
    )
    assert wrong <= 4


def test_a_pinned_term_looks_at_another_place_of_the_axis() -> None:
    scaling = "goodput('nginx', nics=largest) / goodput('nginx', nics=smallest)"
    over = {"nics": "smallest"}
    found = verdict(run(2.0), ratio={"of": scaling, "direction": "above", "at_least": 1.02, "over": over})
    assert found.outcome is Outcome.CONFIRMED
    assert found.finding.headline is not None
    assert found.finding.headline.value == pytest.approx(2**0.1, rel=0.05)


# Ranges, orders, shapes, crossings --------------------------------------------------------------------------


def test_a_range_is_absolute_and_only_a_lab_may_answer() -> None:
    rule = {"range": {"of": "goodput('nginx', nics=1)", "at_least": 0.9e9, "at_most": 1.1e9}}
    here = verdict(run(2.0), level="absolute", **rule)
    assert here.outcome is Outcome.NOT_TESTABLE
    assert "class lab" in here.finding.missing[0]
    lab = run(2.0, testbed="lab")
    assert verdict(lab, level="absolute", **rule).outcome is Outcome.CONFIRMED
    tight = {"range": rule["range"] | {"at_most": 0.95e9}}
    assert verdict(lab, level="absolute", **tight).outcome is Outcome.CONTRADICTED


@pytest.mark.parametrize(
    ("lead", "outcome"),
    [(1.5, Outcome.CONFIRMED), (0.7, Outcome.CONTRADICTED), (1.0, Outcome.CONTRADICTED)],
)
def test_an_order_of_systems(lead: float, outcome: Outcome) -> None:
    rule = {"metric": "goodput", "order": ["sandstorm/precopy", "nginx"]}
    assert verdict(run(lead), ordering=rule).outcome is outcome


def test_an_order_that_noise_hides() -> None:
    rule = {"metric": "goodput", "order": ["sandstorm/precopy", "nginx"]}
    assert verdict(run(1.1, noise=0.3), ordering=rule).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("leads", "trend", "outcome"),
    [
        ((4.0, 2.0, 1.0), "falling", Outcome.CONFIRMED),
        ((1.0, 2.0, 4.0), "falling", Outcome.CONTRADICTED),
        ((1.0, 1.0, 1.0), "falling", Outcome.CONTRADICTED),
        ((3.0, 4.0, 1.0), "falling", Outcome.DIRECTION_ONLY),  # it falls, but not all the way
        ((1.0, 2.0, 4.0), "rising", Outcome.CONFIRMED),
        ((4.0, 2.0, 1.0), "rising", Outcome.CONTRADICTED),
        ((2.0, 2.0, 2.0), "level", Outcome.CONFIRMED),
        ((2.0, 3.0, 2.0), "level", Outcome.CONTRADICTED),
    ],
)
def test_a_shape_along_an_axis(leads: tuple[float, ...], trend: str, outcome: Outcome) -> None:
    data = run(dict(zip(SIZES, leads, strict=True)))
    rule = {"of": LEAD, "along": "file_size", "trend": trend, "over": {"nics": 1}, "margin": 0.1}
    found = verdict(data, shape=rule)
    assert found.outcome is outcome, found.finding.because


def test_a_shape_that_noise_hides() -> None:
    rule = {"of": LEAD, "along": "file_size", "trend": "falling", "over": {"nics": 1}}
    data = run({4096: 1.2, 65536: 1.1, 1048576: 1.0}, noise=0.5)
    found = verdict(data, shape=rule)
    assert found.outcome is Outcome.INCONCLUSIVE
    level = verdict(run(2.0, noise=0.2), shape=rule | {"trend": "level", "margin": 0.2})
    assert level.outcome is Outcome.INCONCLUSIVE


def test_points_that_are_level_are_not_told_apart_by_having_looked_for_the_extremes() -> None:
    rule = {"of": LEAD, "along": "file_size", "trend": "level", "over": {"nics": 1}, "margin": 0.02}
    found = [verdict(run(2.0, noise=0.1, seed=seed), shape=rule).outcome for seed in range(40)]
    assert found.count(Outcome.CONTRADICTED) <= 2
    spread = verdict(run(2.0, noise=0.1), shape=rule).finding.evidence[0].interval
    assert spread.low >= 1, "the largest of a draw over its smallest"


def test_a_shape_is_along_one_axis() -> None:
    with pytest.raises(ValueError, match="every axis but file_size"):
        verdict(run(2.0), shape={"of": LEAD, "along": "file_size", "trend": "falling"})


@pytest.mark.parametrize(
    ("leads", "outcome"),
    [
        ((4.0, 2.0, 1.0), Outcome.CONFIRMED),  # passed at 1 MiB
        ((4.0, 1.0, 1.0), Outcome.CONTRADICTED),  # at 64 KiB already
        ((4.0, 3.0, 2.0), Outcome.CONTRADICTED),  # nowhere
    ],
)
def test_a_crossing(leads: tuple[float, ...], outcome: Outcome) -> None:
    rule = {"of": LEAD, "along": "file_size", "level": 1.1, "start": "above", "over": {"nics": 1}}
    data = run(dict(zip(SIZES, leads, strict=True)))
    found = verdict(data, crossing=rule | {"at_least": "512KiB", "at_most": "1MiB"})
    assert found.outcome is outcome, found.finding.because


def test_a_crossing_that_noise_hides() -> None:
    rule = {"of": LEAD, "along": "file_size", "level": 1.1, "start": "above", "over": {"nics": 1}}
    data = run({4096: 4.0, 65536: 1.1, 1048576: 1.0}, noise=0.1)
    found = verdict(data, crossing=rule | {"at_least": "1MiB"})
    assert found.outcome is Outcome.INCONCLUSIVE
    once = verdict(run(2.0, repetitions=1), crossing=rule | {"at_least": "1MiB"})
    assert once.outcome is Outcome.INCONCLUSIVE


# What cannot be judged --------------------------------------------------------------------------------------


def test_what_was_not_run_is_not_checked() -> None:
    assert verdict(None, **ratio(at_least=2.0)).outcome is Outcome.NOT_CHECKED
    elsewhere = ratio(at_least=2.0, over={"nics": 6})
    assert verdict(run(3.0), **elsewhere).outcome is Outcome.NOT_CHECKED
    other = {"ratio": {"of": "goodput('los') / goodput('nginx')", "direction": "above", "at_least": 1}}
    found = verdict(run(3.0), **other)
    assert found.outcome is Outcome.NOT_CHECKED
    assert "los at 1 NIC, 4 KiB files: no trial (and" not in found.finding.because
    assert "los at 1 NIC, 4 KiB files: no trial" in found.finding.because


def test_what_failed_everywhere_is_not_checked_and_says_why() -> None:
    data = run(3.0, change=lambda trial: made_up.failed(trial) if trial.point.system == "nginx" else trial)
    found = verdict(data, **ratio(at_least=2.0))
    assert found.outcome is Outcome.NOT_CHECKED
    assert "the server died" in found.finding.because


def test_what_failed_in_part_is_judged_without_and_told() -> None:
    def one_repetition_fails(trial: Trial) -> Trial:
        return made_up.failed(trial) if trial.repetition == 0 else trial

    def one_point_fails(trial: Trial) -> Trial:
        return made_up.failed(trial) if trial.point.settings["file_size"] == 4096 else trial

    part = verdict(run(3.0, change=one_repetition_fails), **ratio(at_least=2.0))
    assert part.outcome is Outcome.CONFIRMED
    assert any("12 of 96 trials lost (the server died)" in note for note in part.finding.caveats)
    point = verdict(run(3.0, change=one_point_fails), **ratio(at_least=2.0))
    assert point.outcome is Outcome.CONFIRMED
    assert any("left out" in note for note in point.finding.caveats)


def test_a_metric_that_could_not_be_read_is_what_is_missing() -> None:
    def unread(trial: Trial) -> Trial:
        return trial.model_copy(update={"unavailable": {"syscalls_rate": "because tracefs is not mounted"}})

    rule = {"of": "syscalls_rate('nginx') / syscalls_rate('sandstorm/precopy')", "direction": "above"}
    found = verdict(run(3.0, change=unread), ratio=rule | {"at_least": 1})
    assert found.outcome is Outcome.NOT_TESTABLE
    assert "tracefs" in found.finding.missing[0]


def test_what_the_testbed_lacks_is_told() -> None:
    data = run(3.0)
    many = {"nics": 6, "server_cores": 4, "link_gbps": 10, "other": ["FreeBSD 10"]}
    found = verdict(data, needs=many, **ratio(at_least=2.0))
    assert found.outcome is Outcome.NOT_TESTABLE
    assert found.finding.missing == (
        "NICs of 10 Gb/s",
        "6 NICs (2 here)",
        "4 server cores (1 here)",
        "FreeBSD 10",
    )
    only = verdict(data, needs={"testbed": ["softnic"]}, **ratio(at_least=2.0))
    assert only.finding.missing == ("a testbed of class softnic (veth here)",)


# Saturated clients ------------------------------------------------------------------------------------------


def held_back(*systems: str) -> Any:
    return lambda trial: made_up.saturated(trial) if trial.point.label in systems else trial


def test_a_saturated_client_makes_the_servers_figure_a_lower_bound() -> None:
    data = run(4.0, change=held_back("sandstorm/precopy"))
    atleast = verdict(data, **ratio(at_least=2.0))
    assert atleast.outcome is Outcome.CONFIRMED
    assert any("client was saturated" in note for note in atleast.finding.caveats)
    # The truth may be more than 5, so a claim that ends there is open ...
    assert verdict(data, **ratio(at_least=2.0, at_most=5.0)).outcome is Outcome.INCONCLUSIVE
    # ... while a claim that ends below the bound is not, whatever the truth.
    assert verdict(data, **ratio(at_least=2.0, at_most=3.0)).outcome is Outcome.DIRECTION_ONLY


def test_a_saturated_client_of_the_other_makes_it_an_upper_bound() -> None:
    data = run(4.0, change=held_back("nginx"))
    assert verdict(data, **ratio(at_least=2.0)).outcome is Outcome.INCONCLUSIVE
    below = {"of": LEAD, "direction": "below", "at_most": 5.0}
    assert verdict(data, ratio=below).outcome is Outcome.CONFIRMED


def test_two_saturated_clients_leave_nothing_to_judge() -> None:
    found = verdict(run(4.0, change=held_back("nginx", "sandstorm/precopy")), **ratio(at_least=2.0))
    assert found.outcome is Outcome.NOT_TESTABLE
    assert "a load that fills both servers" in found.finding.missing[0]


def test_a_saturated_clients_latency_is_its_own() -> None:
    def timed(trial: Trial) -> Trial:
        metrics = {"latency_p99": Metric(value=1e-3, unit="s", how="made up")}
        known = trial.model_copy(update={"metrics": metrics})
        return made_up.saturated(known) if trial.point.label == "nginx" else known

    rule = {"of": "latency_p99('nginx') / latency_p99('sandstorm/precopy')", "direction": "above"}
    found = verdict(run(4.0, change=timed), ratio=rule | {"at_least": 0.5})
    assert found.outcome is Outcome.NOT_TESTABLE


def with_cpu(percent: float, *systems: str, **settings: Any) -> Any:
    """Trials of these systems had so much of the server's cores busy."""

    def change(trial: Trial) -> Trial:
        busy = percent if trial.point.label in systems else 97.0
        cpu = Metric(value=busy, unit="%", how="made up")
        point = trial.point.model_copy(update={"settings": {**trial.point.settings, **settings}})
        return trial.model_copy(
            update={"metrics": {**trial.metrics, "server_cpu_percent": cpu}, "point": point}
        )

    return change


def test_a_load_that_filled_nobody_makes_a_lower_bound_too() -> None:
    """Sandstorm is 1.2 times ahead with half its core idle: that does not contradict twice as much."""
    half_idle = with_cpu(50.0, "sandstorm/precopy")
    found = verdict(run(1.2, change=half_idle), **ratio(at_least=2.0))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "only a load that fills the server" in found.finding.because
    assert any("neither server nor client was saturated" in note for note in found.finding.caveats)
    enough = verdict(run(4.0, change=half_idle), **ratio(at_least=2.0))
    assert enough.outcome is Outcome.CONFIRMED
    other = verdict(run(4.0, change=with_cpu(50.0, "nginx")), **ratio(at_least=2.0))
    assert other.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("settings", [{"loop": "open"}, {"link_rate": "10G"}])
def test_idle_servers_are_as_they_should_be_where_the_rate_is_given(settings: dict[str, str]) -> None:
    data = run(1.2, change=with_cpu(50.0, "sandstorm/precopy", **settings))
    assert verdict(data, **ratio(at_least=2.0)).outcome is Outcome.DIRECTION_ONLY
    lab = run(1.2, testbed="lab", change=with_cpu(50.0, "sandstorm/precopy"))
    assert verdict(lab, **ratio(at_least=2.0)).outcome is Outcome.DIRECTION_ONLY


def test_cost_per_request_is_not_the_clients() -> None:
    cost = "server_cpu_per_request('nginx') / server_cpu_per_request('sandstorm/precopy')"
    data = run(4.0, change=held_back("nginx", "sandstorm/precopy"))
    found = verdict(data, ratio={"of": cost, "direction": "above", "at_least": 3.5})
    assert found.outcome is Outcome.CONFIRMED


# Trials that cannot bear a verdict --------------------------------------------------------------------------


def test_no_verdict_rests_on_trials_whose_figures_mean_something_else() -> None:
    def misplaced(trial: Trial) -> Trial:
        return trial.model_copy(update={"validity": made_up.validity(placement=False)})

    found = verdict(run(3.0, change=misplaced), **ratio(at_least=2.0))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "96 of 96 trials one side did not pay for its own packets" in found.finding.because
    assert found.finding.evidence, "what was measured is still shown"
    few = run(3.0, change=lambda trial: misplaced(trial) if trial.repetition < 2 else trial)
    part = verdict(few, **ratio(at_least=2.0))
    assert part.outcome is Outcome.CONFIRMED
    assert "24 trials did not pass the check placement" in part.finding.caveats


def test_a_disturbed_machine_is_told_and_still_judged() -> None:
    def disturbed(trial: Trial) -> Trial:
        return trial.model_copy(update={"validity": made_up.validity(undisturbed=False)})

    found = verdict(run(3.0, change=disturbed), **ratio(at_least=2.0))
    assert found.outcome is Outcome.CONFIRMED
    assert found.finding.caveats == ("96 trials did not pass the check undisturbed",)


# As a record ------------------------------------------------------------------------------------------------


def test_the_same_run_gives_the_same_verdict_to_the_last_bit() -> None:
    first = to_json(verdict(run(2.15, noise=0.2), **ratio(at_least=2.0)))
    assert first == to_json(verdict(run(2.15, noise=0.2), **ratio(at_least=2.0)))


def test_every_number_names_its_trials() -> None:
    record = to_json(verdict(run(2.0), **ratio(at_least=1.5)))
    json.dumps(record, allow_nan=False)
    for evidence in record["evidence"]:
        for source in evidence["sources"]:
            assert len(source["trials"]) == len(source["values"]) == 8


def test_a_scoreboard_shows_zeros_too() -> None:
    found = counts([verdict(run(2.0), **ratio(at_least=1.5))])
    assert found["confirmed"] == 1
    assert found["not checked"] == 0
    assert list(found) == [outcome.value for outcome in Outcome]

# SPDX-License-Identifier: Apache-2.0
"""What is kept of the papers, and the artifacts: every file loads, fits the others and says nothing twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stackrig import paths, plan, registry
from stackrig.claims import papers
from stackrig.errors import UserError
from stackrig.model.expression import Expression, Term
from stackrig.model.metrics import METRICS, shown_in
from stackrig.model.paper import Claim, Claims, Published, RatioRule
from stackrig.yamlfile import load
from tests.analysis import made_up

ARTIFACTS = sorted(registry.artifacts())
CLAIMS = [claim for paper in papers.papers() for claim in papers.claims(paper)]


def test_every_yaml_of_a_paper_loads() -> None:
    for folder in (paths.root() / "analysis" / "papers").iterdir():
        assert sorted(path.name for path in folder.iterdir()) == ["claims.yaml", "published.yaml"]
        assert load(folder / "published.yaml", Published).paper == folder.name
        assert load(folder / "claims.yaml", Claims).paper == folder.name


@pytest.mark.parametrize("name", ARTIFACTS)
def test_an_artifact_fits_its_paper(name: str) -> None:
    artifact = registry.load_artifact(name)
    assert artifact.fidelity, "what differs from the paper must be told"
    if artifact.kind != "machines":
        assert papers.claims_on(artifact), "an artifact without a claim has nothing to be judged on"
    for panel in artifact.panels:
        assert artifact.experiment is not None
        assert panel.x in artifact.experiment.grid
        assert set(panel.where) <= set(artifact.experiment.grid)
        for metric in [panel.y] if isinstance(panel.y, str) else panel.y:
            assert metric in METRICS
            assert shown_in(metric, panel.y_unit)
    if artifact.kind != "interface":
        assert papers.machine_of(artifact) is not None


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_fits_its_artifact(claim: Claim) -> None:
    artifact = registry.load_artifact(claim.artifact)
    assert papers.mismatch(claim, artifact) is None
    assert claim.id == claim.artifact or claim.id.startswith(claim.artifact + ".")


@pytest.mark.parametrize("name", ARTIFACTS)
def test_profiles_keep_to_their_time(name: str) -> None:
    artifact = registry.load_artifact(name)
    if artifact.experiment is None:
        return
    assert plan.make(artifact, "smoke", seed=1).seconds < 60
    assert plan.make(artifact, "local", seed=1).seconds < 600
    local = artifact.experiment.profiles["local"]
    assert local.repetitions >= 5, "fewer say too little of a machine that has two speeds"


def test_smoke_takes_seconds_of_each() -> None:
    """Two artifacts of one experiment are counted once."""
    loaded = [registry.load_artifact(name) for name in ARTIFACTS]
    each = [plan.make(one, "smoke", 1).seconds for one in loaded if one.experiment and not one.experiment_of]
    assert max(each) < 20
    assert sum(each) / len(each) < 9


@pytest.mark.parametrize("name", ARTIFACTS)
def test_what_is_drawn_of_the_paper_is_on_a_panel(name: str) -> None:
    artifact = registry.load_artifact(name)
    for value in papers.values_on(artifact):
        if value.draw:
            panel = next(panel for panel in artifact.panels if panel.id == value.panel)
            assert panel.x in value.at


def claim_of(**rule: Any) -> Claim:
    where = {"section": "9", "page": 9}
    return Claim.model_validate({"id": "x", "artifact": "figure-9.9", "says": "y", "where": where} | rule)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"ratio": {"of": "goodput('ngin')", "direction": "above", "at_least": 1}}, "did you mean nginx"),
        ({"shape": {"of": "goodput('nginx')", "along": "size", "trend": "rising"}}, "did you mean file_size"),
        (
            {"ratio": {"of": "goodput('nginx', nic=1)", "direction": "above", "at_least": 1}},
            "unknown axis of figure-9.9 'nic'",
        ),
        ({"panel": "z", "ordering": {"metric": "goodput", "order": ["nginx", "nginx"]}}, "panel 'z'"),
        ({"interface": {"table": "table-3.1"}}, "is no interface table"),
    ],
)
def test_a_claim_that_could_never_be_judged_is_refused(rule: dict[str, Any], said: str) -> None:
    artifact = made_up.artifact(grid={"nics": [1], "file_size": [4096]})
    assert said in str(papers.mismatch(claim_of(**rule), artifact))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("goodput('nginx'", "is no expression"),
        ("3 + 4", "names no metric"),
        ("gudput('nginx')", "did you mean goodput"),
        ("__import__('os').system('true')", "expected metric"),
        ("goodput('nginx') ** 2", "expected"),
        ("goodput('nginx', nics=most)", "axis=largest"),
        ("goodput(nginx)", "expected metric('system'"),
    ],
)
def test_what_is_no_quantity_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="'") as caught:
        Expression(text)
    assert said in str(caught.value)


def test_a_quantity_is_arithmetic_over_terms() -> None:
    quantity = Expression("(goodput('a') - goodput('b', nics=largest, file_size='4KiB')) / -2")
    assert quantity.terms == [
        Term("goodput", "a"),
        Term("goodput", "b", (("nics", "largest"), ("file_size", 4096))),
    ]
    import numpy as np

    assert quantity.evaluate([np.array([5.0, 7.0]), np.array([1.0, 1.0])]).tolist() == [-2.0, -3.0]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("direction: above", "direction: upwards", "claims.0.ratio.direction"),
        ("at_least: 2", "atleast: 2", "did you mean at_least"),
        ("goodput('nginx')", "goodput(nginx)", "expected metric('system'"),
        ("says:", "sais:", "did you mean says"),
        ("    ratio:", "    shape: {of: goodput('a'), along: b, trend: level}\n    ratio:", "exactly one of"),
        ("at_least: 2", "at_least: 2\n      at_most: 1", "is above at_most"),
        ("at_least: 2", "at_least: 2\n      over: {nics: biggest}", "largest or smallest"),
    ],
)
def test_a_mistake_in_a_claim_is_answered_with_file_line_and_field(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    text = """\
schema: 1
paper: a-paper
claims:
  - id: figure-9.9.lead
    artifact: figure-9.9
    where: {section: "9", page: 9}
    says: It is ahead.
    ratio:
      of: goodput('sandstorm') / goodput('nginx')
      direction: above
      at_least: 2
"""
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    assert load(path, Claims).claims[0].form == "ratio"
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        load(path, Claims)
    assert "claims.yaml:" in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_on_several_nics_is_not_judged_of_one(claim: Claim) -> None:
    words = ("six NICs", "four NICs", "As NICs are added")
    if any(word in claim.says for word in words):
        assert claim.needs.nics >= 2


def test_claims_on_batches_are_judged_with_one_core_whatever_zones_have() -> None:
    """The thesis, section 3.3.4.1: one instance and one queue; NSD keeps the four cores of section 3.3.3."""
    by_id = {claim.id: claim for claim in CLAIMS}
    for name in ("batching", "batching-softnic", "unbatched", "unbatched-one-core"):
        rule = by_id[f"figure-3.8.{name}"].rule
        assert isinstance(rule, RatioRule)
        assert rule.over["server_cores"] == 1
    unbatched = by_id["figure-3.8.unbatched"]
    assert unbatched.needs.server_cores == 4
    assert isinstance(unbatched.rule, RatioRule)
    nsd = next(term for term in Expression(unbatched.rule.of).terms if term.system == "nsd")
    assert ("server_cores", 4) in nsd.pins

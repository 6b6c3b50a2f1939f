# SPDX-License-Identifier: Apache-2.0
"""A paper's table of machines, and beside it the testbed of the inventory on the machine that this runs on.

Needs no run: what a machine is can be looked up. A host reached by SSH is asked for nothing here; its facts come
with the records of its runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stackrig import paths, provenance, registry
from stackrig.claims import papers
from stackrig.errors import UserError
from stackrig.figures.tables import Plain, plain_markdown
from stackrig.model.experiment import Artifact
from stackrig.model.inventory import HostVars, Inventory
from stackrig.report import page, words
from stackrig.testbed.local import load_inventory

NETWORKS = {
    "veth": "veth pairs, without a rate of their own",
    "softnic": "soft NICs in shared memory",
    "lab": "the NICs of its inventory",
}
ROLES = {"server": "the services", "client": "load and measurement"}


def render_machines(name: str, out_dir: Path | None = None) -> Path:
    artifact = registry.load_artifact(name)
    if artifact.kind != "machines":
        raise UserError(f"{name} is no table of machines")
    inventory, _ = load_inventory()
    tables = both(artifact, inventory)
    out = (out_dir or paths.results() / name).resolve()
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.md").write_text(plain_markdown(tables), encoding="utf-8")
    facts = [("inventory", "local"), *words.flat(provenance.host_facts())]
    text = page.artifact_page(
        artifact, [], out, "../index.html", plain=tables, facts=facts, tags=["looked up on this machine"]
    )
    path = out / "index.html"
    path.write_text(text, encoding="utf-8")
    return path


def both(artifact: Artifact, inventory: Inventory) -> list[Plain]:
    """The paper's table as it is printed, and this testbed in the same columns."""
    table = papers.table(artifact.paper, artifact.tables[0].published)
    printed = Plain(f"The paper's machines (Table {table.id})", table.columns, table.rows)
    rows = [_row(role, *host, inventory) for role, host in _hosts(inventory)]
    return [printed, Plain("This testbed", table.columns, rows)]


def _hosts(inventory: Inventory) -> Sequence[tuple[str, tuple[str, HostVars]]]:
    return (("server", inventory.server), ("client", inventory.client))


def _row(role: str, name: str, host: HostVars, inventory: Inventory) -> list[str]:
    """Name, CPU, memory, network: what the columns of the table ask for, in their order."""
    network = NETWORKS[inventory.all.vars.testbed_class]
    told = f"{name} ({ROLES[role]})"
    if host.reach == "ssh":
        return [told, "its runs tell", "its runs tell", network]
    facts = provenance.host_facts()
    cores = f"core{'s' if len(host.cores) > 1 else ''} {', '.join(map(str, host.cores))} of {facts['cores']}"
    memory = f"{facts['memory_bytes'] / (1 << 30):.3g} GiB, shared by both"
    return [told, f"{facts['cpu']}, {cores}", memory, network]

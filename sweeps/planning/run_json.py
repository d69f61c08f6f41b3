"""The content of `run.json`: what a run asks, with which roles, data and versions."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

from search_spaces.definition import Sweep
from search_spaces.domains import show_domain
from search_spaces.sweep_json import rule_data, to_data
from sweeps.planning.trials import Plan
from sweeps.record.provenance import provenance


def describe_run(sweep: Sweep, name: str, run_id: str, plan: Plan) -> dict[str, Any]:
    """The content of `run.json`."""
    return {
        "sweep": name,
        "run_id": run_id,
        "question": sweep.question,
        "roles": roles(sweep),
        "metric": sweep.metric,
        "mode": sweep.mode,
        "seeds": list(sweep.seeds),
        "samples": sweep.samples,
        "scheduler": rule_data(sweep.scheduler),
        "searcher": rule_data(sweep.searcher),
        "replicates": sweep.replicates,
        "stratify": list(plan.stratify),
        "resources": asdict(sweep.resources),
        "threads_per_trial": max(1, int(sweep.resources.cpus)),
        "trials": len(plan.trials) + plan.proposed,
        "definition": to_data(sweep),
        "datasets": {data.info.name: data.digest for data, _ in plan.datasets.values()},
        "notes": sorted({note for data, _ in plan.datasets.values() for note in data.notes}),
        "provenance": provenance(sys.argv),
    }


def roles(sweep: Sweep) -> dict[str, Any]:
    """Which fields are scientific, nuisance and fixed, and their domains in words."""
    found: dict[str, dict[str, Any]] = {
        role: {field: show_domain(domain) for field, domain in getattr(sweep, role).items()}
        for role in ("scientific", "nuisance", "fixed")
    }
    for name in sweep.compared:
        found["scientific"].setdefault(name, [case.get(name) for case in sweep.cases])
    return found

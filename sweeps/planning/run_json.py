"""The content of `run.json`: what a run asks, with which roles, data and versions."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from search_spaces.definition import Sweep
from search_spaces.domains import show_domain
from search_spaces.sweep_json import rule_data, to_data
from sweeps.planning.trials import Plan
from sweeps.record.provenance import provenance
from sweeps.searchers.grid import specs_of
from trainables.user_code.in_use import source_of, sources_in_use
from trainables.user_code.permission import describe_sources
from trainables.user_code.source import Source

# the strongest first
ROLES = ("scientific", "nuisance", "fixed")


def describe_run(sweep: Sweep, name: str, run_id: str, plan: Plan) -> dict[str, Any]:
    """Return the content of `run.json`."""
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
        "trainable": describe_trainable(plan),
        "datasets": dict(plan.prepared.digests),
        "notes": list(plan.prepared.notes),
        "code": describe_sources(sources_of(sweep)),
        "provenance": provenance(sys.argv),
    }


def sources_of(sweep: Sweep) -> dict[str, Source]:
    """Return the user's code that a sweep needs, by its spec; what else this process has used is no part of its run."""
    needed = {source_of(spec).digest for spec in specs_of(sweep)}
    return {spec: source for spec, source in sources_in_use().items() if source.digest in needed}


def describe_trainable(plan: Plan) -> dict[str, Any]:
    """Return the trainable's name, and the fields of its config for the columns of the tables."""
    configs = [trial.config.model_dump(mode="json") for trial in plan.trials or plan.examples]
    return plan.planner.trainable.describe(configs)


def _own_fields(description: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = description.get("trainable", {}).get("fields", {})
    return fields


def extend_run_json(description: Mapping[str, Any], sweep: Sweep, plan: Plan, trials: int) -> dict[str, Any]:
    """Return the content of `run.json` after a resume: as it was, with what this command asks put in.

    description: the content so far; trials: of the whole run. `definition` is the sweep of now, and `resumes` holds the
    sweep, the command and the code of every resume. A field has the strongest role that any command gave it, and all
    of its values.
    """
    now = describe_run(sweep, str(description["sweep"]), str(description["run_id"]), plan)
    made = now["provenance"]
    resume = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "definition": now["definition"],
        **{name: made[name] for name in ("command", "git", "code_digest", "code_files")},
    }
    return {
        **description,
        **{name: now[name] for name in ("samples", "scheduler", "searcher", "stratify", "resources", "definition")},
        "trials": max(trials, now["trials"]),
        "roles": unite_roles(description.get("roles", {}), now["roles"]),
        "seeds": sorted({*description.get("seeds", ()), *now["seeds"]}),
        "trainable": {**now["trainable"], "fields": {**_own_fields(description), **_own_fields(now)}},
        "datasets": {**description.get("datasets", {}), **now["datasets"]},
        "code": {**description.get("code", {}), **now["code"]},
        "notes": sorted({*description.get("notes", ()), *now["notes"]}),
        "resumes": [*description.get("resumes", ()), resume],
    }


def unite_roles(first: Mapping[str, Any], then: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Unite the roles of two commands: what either compares is compared, and so is what each holds still elsewhere."""
    found: dict[str, dict[str, Any]] = {role: {} for role in ROLES}
    names = [name for roles in (first, then) for role in ROLES for name in roles.get(role, {})]
    for name in dict.fromkeys(names):
        given = [(role, roles[role][name]) for roles in (first, then) for role in ROLES if name in roles.get(role, {})]
        values = list({json.dumps(v, sort_keys=True): v for _, value in given for v in _listed(value)}.values())
        role = min((role for role, _ in given), key=ROLES.index)
        role = "scientific" if role == "fixed" and len(values) > 1 else role
        same = all(value == given[0][1] for _, value in given)
        found[role][name] = given[0][1] if same else values
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def roles(sweep: Sweep) -> dict[str, Any]:
    """Return which fields are scientific, nuisance and fixed, and their domains in words."""
    found: dict[str, dict[str, Any]] = {
        role: {field: show_domain(domain) for field, domain in getattr(sweep, role).items()} for role in ROLES
    }
    for name in sweep.compared:
        found["scientific"].setdefault(name, [case.get(name) for case in sweep.cases])
    return found

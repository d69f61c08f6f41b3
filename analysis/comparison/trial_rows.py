"""The rows of trials from several runs: how each trial ended as a whole, each once, its replicates together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from analysis.arrays import flag_array, text_array
from analysis.comparison.labels import Column
from analysis.trial_status import trained_to_its_end

# A trial whose replicates ended differently has ended as the first of these that one of them has.
WORST_FIRST = ("failed", "diverged", "interrupted", "stopped", "completed")


def with_endings(trials: pa.Table, planned: Mapping[tuple[str, str], Mapping[str, Any]]) -> pa.Table:
    """Add `trial`, `ended` and `finished`, which are the same in all rows of a trial.

    planned: what each run's table says of itself: where replicates ran apart, a trial has one for each of its seeds.
    """
    rows = trials.select(["sweep", "run_id", "trial_id", "status", "stop_reason", "seeds"]).to_pylist()
    groups: dict[str, list[dict[str, Any]]] = {}
    names = [f"{row['sweep']}/{row['run_id']}/{row['trial_id']}" for row in rows]
    for name, row in zip(names, rows, strict=True):
        groups.setdefault(name, []).append(row)
    ended = {name: _worst([row["status"] for row in part]) for name, part in groups.items()}
    finished = {
        name: len(part) >= _replicates(part[0], planned.get((part[0]["sweep"], part[0]["run_id"]), {}))
        and all(trained_to_its_end(row["status"], row["stop_reason"]) for row in part)
        for name, part in groups.items()
    }
    trials = trials.append_column("trial", text_array(names))
    trials = trials.append_column("ended", text_array([ended[name] for name in names]))
    return trials.append_column("finished", flag_array([finished[name] for name in names]))


def _worst(statuses: Sequence[str]) -> str:
    return min(statuses, key=lambda status: WORST_FIRST.index(status) if status in WORST_FIRST else 0)


def _replicates(row: Mapping[str, Any], planned: Mapping[str, Any]) -> int:
    if planned.get("replicates") == "apart":
        return len(planned.get("seeds") or ())
    return len(row["seeds"] or ())


def keep_one_of_each(trials: pa.Table) -> pa.Table:
    """Drop what stands twice: kept is the trial that was trained to its end, and of equals the newest.

    A trial whose values a population changed on the way never stands for one that kept its own.
    """
    keys = zip(trials["trial_key"].to_pylist(), trials["seed"].to_pylist(), strict=True)
    changes, finished = trials["changes"].to_pylist(), trials["finished"].to_pylist()
    groups: dict[str, list[tuple[int, Any]]] = {}
    for row, (name, key) in enumerate(zip(trials["trial"].to_pylist(), keys, strict=True)):
        groups.setdefault(name, []).append((row, key))

    def rank(name: str) -> tuple[bool, bool, int, int]:
        row = groups[name][0][0]
        return changes[row] is None, finished[row], len(groups[name]), row

    kept, taken = set[int](), set[Any]()
    for name in sorted(groups, key=rank, reverse=True):
        kept.update(row for row, key in groups[name] if key not in taken)
        taken |= {key for _, key in groups[name]}
    return trials.filter(flag_array([row in kept for row in range(len(trials))]))


def pool_replicates(
    trials: pa.Table, columns: Mapping[str, Column], planned: Mapping[tuple[str, str], Mapping[str, Any]]
) -> pa.Table:
    """Make one trial of finished ones that differ by their seeds alone, as where a run was extended by seeds.

    Else a setting would stand twice, and the luckier one would be chosen. A seed that several have is taken from the
    one with most replicates, the newest of equals. Only trials of equal data and code are made one.
    """
    vary = [values for name, values in columns.items() if name != "seeds" and len(set(values)) > 1]
    rows = trials.select(["trial", "seed", "sweep", "run_id", "ended", "finished", "changes"]).to_pylist()
    datasets = columns.get("dataset", [None] * len(rows))
    origins = {name: _origin(metadata) for name, metadata in planned.items()}
    groups: dict[Any, dict[str, list[int]]] = {}
    for number, (row, dataset, *setting) in enumerate(zip(rows, datasets, *vary, strict=True)):
        digests, code = origins[row["sweep"], row["run_id"]]
        key = (*setting, digests.get(dataset), code, row["trial"] if row["changes"] else None)
        groups.setdefault(key, {}).setdefault(row["trial"], []).append(number)
    kept, into = set(range(len(rows))), list(range(len(rows)))
    for parts in groups.values():
        whole = sorted(
            (n for n in parts.values() if rows[n[0]]["finished"]), key=lambda n: (len(n), n[0]), reverse=True
        )
        if len(parts) > 1 and whole:
            kept.difference_update(*parts.values())
            newest = {rows[number]["seed"]: number for numbers in reversed(whole) for number in numbers}
            kept.update(newest.values())
            for number in newest.values():
                into[number] = whole[0][0]
    if len(kept) == len(rows) and into == list(range(len(rows))):
        return trials
    for name in ("trial", "ended"):
        texts = text_array([rows[number][name] for number in into])
        trials = trials.set_column(trials.schema.get_field_index(name), name, texts)
    return trials.filter(flag_array([number in kept for number in range(len(rows))]))


def _origin(metadata: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Return the digests of a run's datasets, and one text for those of its code."""
    digests, provenance = metadata.get("datasets"), metadata.get("provenance")
    code = provenance.get("code_digest") if isinstance(provenance, dict) else None
    return digests if isinstance(digests, dict) else {}, json.dumps([code, metadata.get("code")], sort_keys=True)

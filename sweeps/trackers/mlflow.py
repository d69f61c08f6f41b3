"""MLflow: a run for the sweep, and in it one for each trial, on a server or in a database. Needs the extra `mlflow`.

Runs are found again by the tag `sweeps_id`. MLflow keeps a metric of equal name, step, value and time once; the time is
the ledger's, so what is sent again changes nothing.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from analysis.comparison.labels import show_value
from deployment.registration.opening import SCHEMES, SERVERS, open_registry
from sweeps.trackers.tracker import Row, RunEnding, TrackedEpoch, TrackedRun, TrackedTrial
from trainables.errors import InputError

ID, KIND, PARENT, NOTE = "sweeps_id", "kind", "mlflow.parentRunId", "mlflow.note.content"
# The kind of experiment for which MLflow's page shows training runs, and not prompts.
TRAINING = {"mlflow.experimentKind": "custom_model_development"}
# MLflow's statuses. A trial that its scheduler has stopped went as planned.
STATUSES = {"completed": "FINISHED", "stopped": "FINISHED", "interrupted": "KILLED"}
# What MLflow takes at a time, and characters of a parameter and of a tag.
MOST_METRICS, MOST_PARAMS, MOST_TAGS, PARAM_LENGTH, TAG_LENGTH = 1000, 100, 100, 6000, 5000
# The names that MLflow's page draws as system metrics.
SYSTEM = {
    "cpu_percent": "system/cpu_utilization_percentage",
    "memory_mb": "system/system_memory_usage_megabytes",
    "gpu_percent": "system/gpu_{gpu}_utilization_percentage",
    "gpu_memory_mb": "system/gpu_{gpu}_memory_usage_megabytes",
    "gpu_power_w": "system/gpu_{gpu}_power_usage_watts",
    "gpu_temperature_c": "system/gpu_{gpu}_temperature_celsius",
}


def check(target: str) -> None:
    """Raise `InputError` for a target that is no URI of a tracking server or database, or holds a password."""
    parts = urlparse(target)
    scheme = parts.scheme.partition("+")[0]
    if ":" in parts.netloc.rpartition("@")[0]:
        raise InputError(
            f"--track mlflow={parts.scheme}://...: the command is kept in run.json, so it must hold no password: put "
            "it into the environment (MLFLOW_TRACKING_USERNAME and _PASSWORD, PGPASSWORD) or the database's own file"
        )
    if target and scheme not in SCHEMES:
        raise InputError(f"--track mlflow={target}: write a URI, such as http://127.0.0.1:5000 or sqlite:///FILE.db")


def make(target: str, results: Path) -> Mlflow:
    """Return a tracker for a server or database; by default the one where `deployment.register` keeps models."""
    # a server that does not answer is tried again by the feed, which says so
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    registry = open_registry(target or None, str(results), create=True)
    return Mlflow(registry.client, registry.artifacts or _artifacts(target, results))


def _artifacts(uri: str, results: Path) -> Path | None:
    """Return where files go that belong to a database which is no file; None: its server decides."""
    return None if urlparse(uri).scheme in SERVERS else results.absolute() / "artifacts"


class Mlflow:
    """A tracker of one run. artifacts: where files of new runs go; None: the server decides."""

    def __init__(self, client: Any, artifacts: Path | None) -> None:
        self.client, self.artifacts = client, artifacts
        self.run_id = ""
        self.experiment = ""
        # MLflow's id of each of our ids that is known there
        self._known: dict[str, str] = {}
        self._metrics: dict[str, list[Any]] = {}

    def begin(self, run: TrackedRun) -> None:
        """Find or make the sweep's run, and find those of its trials."""
        found = self.client.get_experiment_by_name(run.sweep)
        place = self.artifacts.as_uri() if self.artifacts else None
        made = found or self.client.get_experiment(self.client.create_experiment(run.sweep, place, tags=TRAINING))
        self.experiment = made.experiment_id
        self._known = {one.data.tags[ID]: one.info.run_id for one in self._search(f"tags.run_key = '{run.id}'")}
        tags = {**run.tags, KIND: "sweep", NOTE: run.question, "metric": str(run.description["metric"])}
        self.run_id = self._find_or_make(run.id, run.run_id, run.began, {**tags, "run_key": run.id})
        fields = {"trials": "trials", "scheduler": "scheduler", "searcher": "searcher", "seeds": "seeds"}
        params = {name: run.description.get(key) for name, key in fields.items()}
        self._params(self.run_id, {**params, **_values(run.description.get("roles", {}))})
        self._datasets(self.run_id, run.description.get("datasets", {}))
        self.name = f"{run.sweep}/{run.run_id}"
        self.tags, self.began = {"run_key": run.id}, run.began

    def begin_trial(self, trial: TrackedTrial) -> None:
        """Find or make a trial's run."""
        varied = " ".join(f"{name}={show_value(value)}" for name, value in trial.varied.items())
        tags = {**trial.tags, **self.tags, KIND: "trial", PARENT: self.run_id}
        name = f"{trial.trial_id} {varied}".strip()[:200]
        known = trial.id in self._known
        run_id = self._find_or_make(trial.id, name, trial.began, tags)
        if known:
            self.client.update_run(run_id, status="RUNNING")
        self._params(run_id, {name: show_value(value) for name, value in trial.config.items()}, new=not known)

    def epoch(self, trial: TrackedTrial, epoch: TrackedEpoch) -> None:
        """Keep an epoch's metrics until `flush`."""
        self._take(self._known[trial.id], epoch.numbers, epoch.time, epoch.number)

    def end_trial(self, trial: TrackedTrial, status: str, reason: str, time: datetime) -> None:
        """Write the trial's metrics, and how it has ended."""
        run_id = self._known[trial.id]
        self._write(run_id, {"status": status, "stop_reason": reason})
        self.client.set_terminated(run_id, STATUSES.get(status, "FAILED"), _milliseconds(time))

    def hardware(self, rows: Sequence[Row]) -> None:
        """Keep samples of the machine, for the page's system metrics."""
        for row in rows:
            step = int((row["time"] - self.began).total_seconds())
            named = {SYSTEM[name].format(gpu=row.get("gpu")): row.get(name) for name in SYSTEM}
            values = {name: float(value) for name, value in named.items() if value is not None}
            self._take(self.run_id, values, row["time"], step)

    def file(self, trial: TrackedTrial | None, path: Path, name: str) -> None:
        """Send a file; one of that name is replaced."""
        run_id = self._known[trial.id] if trial else self.run_id
        folder = Path(name).parent.as_posix() if trial is None else ""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.client.log_artifact(run_id, str(path), None if folder in ("", ".") else folder)

    def flush(self) -> None:
        """Write the metrics that were kept."""
        for run_id in list(self._metrics):
            self._write(run_id)

    def end(self, ending: RunEnding) -> None:
        """Write how the run stands, and where evaluations, exports and registered versions are."""
        for trial_id, links in {**ending.links, **self._registered(ending.links)}.items():
            for one in self._search(f"tags.run_key = '{self.tags['run_key']}' and tags.trial = '{trial_id}'"):
                self._tags(one.info.run_id, links)
        counts = {f"trials_{status}": str(count) for status, count in ending.counts.items()}
        self._tags(self.run_id, {"status": ending.status, "best_trial": ending.best_trial, **counts})
        best = {} if ending.best is None else {"best": ending.best}
        self._take(self.run_id, {**best, **ending.hardware}, ending.time, 0)
        self.flush()
        self.client.set_terminated(self.run_id, STATUSES[ending.status], _milliseconds(ending.time))

    def _registered(self, links: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
        """Return the links, with the versions of each trial that `deployment.register` has put into this store."""
        found = {trial_id: dict(known) for trial_id, known in links.items()}
        for version in self.client.search_model_versions(f"tags.run = '{self.name}'") if "'" not in self.name else ():
            known = found.setdefault(version.tags.get("trial", ""), {})
            known["registered"] = f"models:/{version.name}/{version.version}"
        return found

    def close(self) -> None:
        """Do nothing: no connection stays open."""

    def _search(self, filter_string: str) -> Iterable[Any]:
        token = None
        while True:
            found = self.client.search_runs([self.experiment], filter_string, max_results=1000, page_token=token)
            yield from found
            if not (token := found.token):
                return

    def _find_or_make(self, our_id: str, name: str, began: datetime, tags: Mapping[str, str]) -> str:
        if our_id not in self._known:
            cut = {key: value[:TAG_LENGTH] for key, value in tags.items()}
            made = self.client.create_run(self.experiment, _milliseconds(began), {**cut, ID: our_id}, name)
            self._known[our_id] = made.info.run_id
        return self._known[our_id]

    def _params(self, run_id: str, values: Mapping[str, Any], *, new: bool = False) -> None:
        """Write the parameters that a run lacks; MLflow refuses to change one. new: it has none yet."""
        from mlflow.entities import Param

        known = {} if new else self.client.get_run(run_id).data.params
        texts = {name: str(value)[:PARAM_LENGTH] for name, value in values.items() if value is not None}
        params = [Param(name, text) for name, text in texts.items() if name not in known]
        for first in range(0, len(params), MOST_PARAMS):
            self.client.log_batch(run_id, params=params[first : first + MOST_PARAMS])

    def _datasets(self, run_id: str, digests: Mapping[str, str]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        tag = InputTag("mlflow.data.context", "training")
        inputs = [
            DatasetInput(Dataset(name[:500], str(digest)[:36], "local", name), [tag])
            for name, digest in digests.items()
        ]
        if inputs:
            self.client.log_inputs(run_id, inputs)

    def _tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        found = _run_tags(tags)
        for first in range(0, len(found), MOST_TAGS):
            self.client.log_batch(run_id, tags=found[first : first + MOST_TAGS])

    def _take(self, run_id: str, values: Mapping[str, float], time: datetime, step: int) -> None:
        from mlflow.entities import Metric

        moment = _milliseconds(time)
        kept = self._metrics.setdefault(run_id, [])
        kept += [Metric(name, value, moment, step) for name, value in values.items()]

    def _write(self, run_id: str, tags: Mapping[str, str] | None = None) -> None:
        """Write the metrics that were kept of a run, and a few tags with them."""
        kept, found = self._metrics.get(run_id, []), _run_tags(tags or {})
        while kept or found:
            self.client.log_batch(run_id, metrics=kept[:MOST_METRICS], tags=found)
            del kept[:MOST_METRICS]
            found = []
        self._metrics.pop(run_id, None)


def _run_tags(tags: Mapping[str, str]) -> list[Any]:
    from mlflow.entities import RunTag

    return [RunTag(name, text[:TAG_LENGTH]) for name, text in tags.items() if text]


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def _values(roles: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of each field of a sweep, by its role: `scientific.activation`."""
    return {
        f"{role}.{name}": str(value) for role, fields in roles.items() if isinstance(fields, dict)
        for name, value in fields.items()
    }  # fmt: skip

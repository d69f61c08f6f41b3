"""Every file name of a run, in one place, and the one rule for names that come from outside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.atomic_files import folders_in, read_regular
from trainables.errors import InputError
from trainables.worker.attempt_folder import replicate_folder

DEFAULT_STORAGE = Path("results")
# file systems take 255; copies beside a file have longer names than the file
MAX_NAME_BYTES = 200


def plain_name(name: object, what: str) -> str:
    """Return a name that is one component of a path. Raises `InputError` for every other.

    Names of runs, of sweeps and of trial folders are joined to paths, also where a ledger or a bucket of somebody
    else says them. what: for the message, "the run's name".
    """
    reason = _why_not_plain(name)
    if reason:
        raise InputError(f"{what} {str(name)[:MAX_NAME_BYTES]!r} {reason}: take letters, digits and - _ . = + inside")
    return str(name)


def _why_not_plain(name: object) -> str:
    if not isinstance(name, str) or not name.strip():
        return "is no name"
    if "/" in name or "\\" in name:
        return "holds a separator, but must be a single name"
    if name[0] in ".-":
        return f"begins with {name[0]!r}"
    if name != name.strip() or not name.isprintable():
        return "holds characters that cannot be seen"
    if len(name.encode(errors="surrogatepass")) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    return ""


@dataclass(frozen=True)
class RunFolder:
    """`results/<sweep>/<run_id>/` and what lies in it."""

    path: Path

    @property
    def sweep(self) -> str:
        """Return the name of the sweep, that of the folder above."""
        return self.path.parent.name

    @property
    def run_id(self) -> str:
        """Return the run's name, that of its folder."""
        return self.path.name

    @property
    def description(self) -> Path:
        """Return the path of `run.json`: the resolved sweep, and what made the run."""
        return self.path / "run.json"

    @property
    def ledger(self) -> Path:
        """Return the path of the ledger, the truth about the run."""
        return self.path / "ledger.jsonl"

    @property
    def log(self) -> Path:
        """Return the path of Ray's messages."""
        return self.path / "run.log"

    @property
    def trials_table(self) -> Path:
        """Return the path of the table with a row for each replicate of a trial."""
        return self.path / "trials.parquet"

    @property
    def epochs_table(self) -> Path:
        """Return the path of the table with a row for each replicate and epoch."""
        return self.path / "epochs.parquet"

    @property
    def weights_table(self) -> Path:
        """Return the path of the table of complexity, with a row for each tensor."""
        return self.path / "weights.parquet"

    @property
    def activations_table(self) -> Path:
        """Return the path of the table of activations, with a row for each layer."""
        return self.path / "activations.parquet"

    @property
    def hardware_table(self) -> Path:
        """Return the path of the table of samples of the machine."""
        return self.path / "hardware.parquet"

    @property
    def hardware_journal(self) -> Path:
        """Return the path of the samples that the table lacks yet, a line each."""
        return self.path / "hardware.jsonl"

    @property
    def hardware_summary(self) -> Path:
        """Return the path of what the run took of its machine, as JSON."""
        return self.path / "hardware.json"

    @property
    def tensorboard(self) -> Path:
        """Return the folder of the event files."""
        return self.path / "tensorboard"

    @property
    def trackers(self) -> Path:
        """Return the folder that says how far each tracker is."""
        return self.path / "trackers"

    @property
    def code(self) -> Path:
        """Return the folder of the texts of the user's own code."""
        return self.path / "code"

    @property
    def trials(self) -> Path:
        """Return the folder with a folder for each trial."""
        return self.path / "trials"

    @property
    def requests(self) -> Path:
        """Return the folder of what is asked of a run under way; as a hidden one it is never uploaded."""
        return self.path / ".requests"

    @property
    def quantization_table(self) -> Path:
        """Return the path of the table of quantised models, with a row for each file of a trial."""
        return self.path / "quantization.parquet"

    @property
    def evaluation(self) -> Path:
        """Return the folder with the evaluations of trials."""
        return self.path / "evaluation"

    def evaluation_of(self, trial_id: str) -> EvaluationFolder:
        """Return the folder of a trial's evaluation. Raises `InputError` for an id that is no plain name."""
        return EvaluationFolder(self.evaluation / plain_name(trial_id, "the trial's id"))

    def deployment_of(self, trial_id: str) -> DeploymentFolder:
        """Return the folder of a trial's exported models. Raises `InputError` for an id that is no plain name."""
        return DeploymentFolder(self.path / "deployment" / plain_name(trial_id, "the trial's id"))

    def trial(self, folder: str) -> TrialFolder:
        """Return a trial's folder. Raises `InputError` for a name that leads elsewhere."""
        return TrialFolder(self.trials / plain_name(folder, "a trial's folder"))

    def trials_by_key(self) -> dict[str, TrialFolder]:
        """Return the folders of trials, by the key at the end of their names; links are left out."""
        found = (path for path in folders_in(self.trials) if not path.is_symlink())
        return {path.name.rpartition("_")[2]: TrialFolder(path) for path in found}

    def read_description(self) -> dict[str, Any]:
        """Return the content of `run.json`. Raises `InputError` where it is missing, damaged or incomplete."""
        try:
            content = json.loads(read_regular(self.description))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{self.path} is not a run: run.json cannot be read ({error})") from None
        wrong = _why_not_a_description(content)
        if wrong:
            raise InputError(f"{self.path} is not a run: run.json {wrong}")
        known = {"sweep": self.sweep, "run_id": self.run_id, "question": "", "seeds": []}
        return {**known, **content, "roles": {**{role: {} for role in ROLES}, **content["roles"]}}

    def metadata(self) -> dict[str, Any]:
        """Return the metadata of the run's tables: `run.json`, with the names that the folders have now."""
        return {**self.read_description(), "sweep": self.sweep, "run_id": self.run_id}


TEXTS = ("sweep", "run_id", "question", "metric", "mode")
ROLES = ("scientific", "nuisance", "fixed")


def _why_not_a_description(content: object) -> str:
    """Return what keeps a document from being a `run.json`, "" for one that is."""
    if not isinstance(content, dict):
        return "is no object"
    missing = [name for name in ("metric", "mode", "roles") if name not in content]
    if missing:
        return f"lacks {', '.join(missing)}"
    roles = content["roles"]
    wrong = [name for name in TEXTS if not isinstance(content.get(name, ""), str)]
    wrong += [] if content["mode"] in ("max", "min") else ["mode"]
    wrong += [] if isinstance(content.get("seeds", []), list) else ["seeds"]
    wrong += [] if isinstance(content.get("provenance", {}), dict) else ["provenance"]
    if not isinstance(roles, dict) or not all(isinstance(roles.get(name, {}), dict) for name in ROLES):
        wrong.append("roles")
    return f"has a wrong {wrong[0]}" if wrong else ""


@dataclass(frozen=True)
class TrialFolder:
    """`trials/<timestamp>_<model>_<activation>_<two words>_<key>/`."""

    path: Path

    @property
    def config(self) -> Path:
        """Return the path of the config as JSON."""
        return self.path / "config.json"

    @property
    def run_stats(self) -> Path:
        """Return the path of the summary of the trial as JSON."""
        return self.path / "run_stats.json"

    @property
    def training_curves(self) -> Path:
        """Return the path of the figure of loss and metrics by epoch."""
        return self.path / "training_curves.png"

    @property
    def weight_distributions(self) -> Path:
        """Return the path of the figure of the weights before and after training."""
        return self.path / "weight_distributions.png"

    def attempt(self, number: int) -> Path:
        """Return the folder that one attempt writes to until the trial has ended."""
        return self.path / f"attempt-{number}"

    @property
    def checkpoint(self) -> Path:
        """Return the folder of the last checkpoint, once the trial has failed."""
        return self.path / "checkpoint"

    def replicate(self, seed: int) -> Path:
        """Return the folder with the weights of a replicate."""
        return replicate_folder(self.path, seed)

    def best_model(self, seed: int) -> Path:
        """Return the path of the weights of the best epoch."""
        return self.replicate(seed) / "best_model.safetensors"

    def final_model(self, seed: int) -> Path:
        """Return the path of the weights of the last epoch."""
        return self.replicate(seed) / "final_model.safetensors"

    def initial_model(self, seed: int) -> Path:
        """Return the path of the weights before training."""
        return self.replicate(seed) / "initial_model.safetensors"


@dataclass(frozen=True)
class DeploymentFolder:
    """`deployment/<trial id>/`: what `deployment.export` and `deployment.quantize` make of a trial."""

    path: Path

    def model(self, suffix: str, kind: str = "model") -> Path:
        """Return the path of an exported model; kind: `model`, or `model_` and how it was quantised."""
        return self.path / f"{kind}{suffix}"

    @property
    def export_report(self) -> Path:
        """Return the path of the exports' differences and sizes as JSON."""
        return self.path / "export.json"

    @property
    def quantization_report(self) -> Path:
        """Return the path of the quantised models' figures as JSON."""
        return self.path / "quantization.json"


@dataclass(frozen=True)
class EvaluationFolder:
    """`evaluation/<trial id>/`: what `analysis.evaluate` and `analysis.explain` say of a trial."""

    path: Path

    @property
    def report(self) -> Path:
        """Return the path of what the command printed."""
        return self.path / "report.txt"

    @property
    def metrics(self) -> Path:
        """Return the path of all figures as JSON."""
        return self.path / "metrics.json"

    @property
    def predictions(self) -> Path:
        """Return the path of the table of predictions."""
        return self.path / "predictions.parquet"

    @property
    def gate(self) -> Path:
        """Return the path of the verdict on the thresholds as JSON."""
        return self.path / "clinical_gate.json"

    @property
    def earlier_gate(self) -> Path:
        """Return the path of the verdict on the evaluation that the present one took the place of."""
        return self.path / "clinical_gate_earlier.json"

    @property
    def explanations(self) -> Path:
        """Return the folder of `analysis.explain`."""
        return self.path / "explain"

    def figure(self, name: str) -> Path:
        """Return the path of a figure."""
        return self.path / f"{name}.png"

"""The digest of the training code is one of all files that training imports, and of no others."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT
from trainables import code_digest
from trainables.code_digest import changed_files, file_digests, imported_from, training_digest

TRAIN = """
import sys
from trainables.config import make_config
from trainables import image_classifier, worker
from trainables.training.replicates import train_replicates
from trainables.training.loop import start
from trainables.data.batches import to_device
from trainables.data.datasets import load
from trainables.data.normalization import normalization_of
import torch
data = load("digits")
config = make_config({"dataset": "digits", "model": "mlp", "hidden_dims": (4,), "epochs": 1, "seeds": (0,)})
splits = to_device(data, normalization_of("dataset", data), torch.device("cpu"))
states = [start(config, 0, data.info, torch.device("cpu"))]
list(train_replicates(config, data.info, splits, states))
files = (m.__file__ for name, m in list(sys.modules.items()) if name.split(".")[0] == "trainables")
print(*files, sep="\\n")
"""


def test_what_python_imports_in_training_is_digested() -> None:
    """Python's own list of modules, but for the models, all of which it imports by their names."""
    done = subprocess.run([sys.executable, "-c", TRAIN], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {path.removeprefix(f"{ROOT}/trainables/") for path in done.stdout.split()}
    models = {path for path in loaded if path.startswith("models/") and path[7] != "_"}
    assert "models/mlp.py" in models
    assert "training/optimizers.py" in loaded
    assert loaded - models <= imported_from((*code_digest.ENTRIES, "models/mlp.py"))


def test_other_models_and_commands_do_not_matter() -> None:
    found = imported_from((*code_digest.ENTRIES, "models/mlp.py"))
    assert {"models/mlp.py", "training/loop.py", "layers/activations.py", "data/formats/mnist.py"} <= found
    assert {"models/vgg16.py", "data/check.py", "normalization.py"}.isdisjoint(found)
    assert training_digest("mlp") != training_digest("cnn")
    assert training_digest("mlp") == training_digest("mlp")


def test_what_changed_is_named() -> None:
    before = file_digests()
    assert changed_files(before) == []
    before["training/loop.py"] = "0" * 16
    del before["models/mlp.py"]
    before["gone.py"] = "1" * 16
    assert changed_files(before) == ["gone.py", "models/mlp.py", "training/loop.py"]

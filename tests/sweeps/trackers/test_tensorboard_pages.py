"""What is added to event files when somebody looks, as TensorBoard's own readers see it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from ray import tune
from safetensors.numpy import save_file
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext

from analysis.runs.run_folder import RunFolder
from search_spaces.definition import Sweep
from sweeps.record.state import TrialState
from sweeps.trackers.tensorboard import curves_of, write_epoch
from sweeps.trackers.tensorboard_pages import MORE, bins_of, complete
from sweeps.trackers.tensorboard_server import check_port
from tests.support.played_runs import begin, noisy, play
from trainables.errors import InputError

QUESTION = "<script>alert(1)</script> | which?"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    sweep = Sweep(
        question=QUESTION,
        scientific={"activation": tune.grid_search(["relu", "tanh"])},
        fixed={
            "dataset": "digits",
            "model": "mlp",
            "hidden_dims": [8],
            "epochs": 2,
            "lr": 0.01,
            "augmentation": "light",
        },
        seeds=(0, 1),
        scheduler="fifo",
    )
    made, plan = begin(tmp_path_factory.mktemp("results"), sweep)
    state = play(made, sweep, plan, noisy)
    for trial in state.trials.values():
        folder = made.trial(trial.folder)
        for path, epoch in ((folder.initial_model(0), 0), (folder.best_model(0), 2)):
            path.parent.mkdir(parents=True, exist_ok=True)
            weights = np.linspace(-1, 1 + epoch, 60, dtype=np.float32)
            save_file(
                {"0.weight": weights.reshape(6, 10)},
                path,
                {"epoch": str(epoch), "module_types": '{"0.weight": "Linear"}'},
            )
    evaluation = made.evaluation_of("0001")
    evaluation.path.mkdir(parents=True)
    Figure(figsize=(2, 1)).savefig(evaluation.figure("confusion"))
    return made


def read(run: RunFolder) -> Any:
    files = EventMultiplexer().AddRunsFromDirectory(str(run.tensorboard))
    files.Reload()
    return MultiplexerDataProvider(files, ""), files


def test_texts_pictures_histograms_and_endings_are_added_once(run: RunFolder) -> None:
    assert complete(run) == []
    provider, files = read(run)
    context = RequestContext()
    images = provider.list_blob_sequences(context, experiment_id="", plugin_name="images")
    assert set(images["run"]) == {"inputs/digits light"}
    assert "evaluation/confusion" in images["0001 activation=relu/seed_0"]
    histograms = provider.list_tensors(context, experiment_id="", plugin_name="histograms")
    assert set(histograms["0001 activation=relu/seed_0"]) == {"saved_weights/0.weight"}
    values = files.GetAccumulator("0001 activation=relu/seed_0").Tensors("saved_weights/0.weight")
    assert [value.step for value in values] == [0, 2]
    (text,) = files.GetAccumulator("run").Tensors("run")
    shown = text.tensor_proto.string_val[0].decode()
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown
    assert "\\| which?" in shown
    ending = files.GetAccumulator("0001 activation=relu/seed_1").SummaryMetadata("_hparams_/session_end_info")
    assert ending.plugin_data.plugin_name == "hparams"
    file = run.tensorboard / "0001 activation=relu" / "seed_0" / MORE
    before = file.stat().st_ino
    complete(run)
    assert file.stat().st_ino == before


def test_the_scalars_are_read_after_what_is_added(run: RunFolder) -> None:
    """TensorBoard follows the last of a folder's files by name: that is the one that a sweep appends to."""
    complete(run)
    names = sorted(path.name for path in (run.tensorboard / "0001 activation=relu" / "seed_0").iterdir())
    assert names == [MORE, "events.out.tfevents.sweeps"]


def test_pace_losses_of_steps_and_histograms_of_an_epoch(tmp_path: Path) -> None:
    trial = TrialState("0001", "key", "folder", {"activation": "relu"}, 1, 1)
    run = RunFolder(tmp_path)
    for epoch in (1, 2):
        row = {
            "val_auc": 0.5, "images_trained": 60, "train_seconds": 2.0, "step_losses": [3.0, 2.0],
            "histograms": {"gradients/0.weight": [[0.0, 1.0, 3.0]]},
        }  # fmt: skip
        write_epoch(curves_of(run, trial, ("activation",)), epoch, {0: row}, 1e9 + epoch)
    _, files = read(run)
    found = files.GetAccumulator("0001 activation=relu/seed_0")
    pace, losses = found.Tensors("images_per_second"), found.Tensors("train/step_loss")
    assert [value.tensor_proto.float_val[0] for value in pace] == [30.0, 30.0]
    assert [(value.step, value.tensor_proto.float_val[0]) for value in losses] == [(1, 3), (2, 2), (3, 3), (4, 2)]
    (first, _) = found.Tensors("gradients/0.weight")
    assert list(first.tensor_proto.double_val) == [0.0, 1.0, 3.0]


def test_bins_count_every_finite_value() -> None:
    values = np.array([0.0, 1.0, 1.0, np.nan, np.inf])
    assert sum(count for _, _, count in bins_of(values)) == 3
    assert bins_of(np.array([np.nan])) == []


def test_a_taken_port_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="choose another"):
            check_port(taken.getsockname()[1])

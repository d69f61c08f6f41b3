"""The cache of decoded datasets: decoded once, complete or absent, mapped and shared by its address."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.generated_data import medmnist_arrays, write_medmnist
from trainables.data import cache
from trainables.data import downloads as files
from trainables.data.arrays import Data, Request, digest_of
from trainables.data.batches import batches, to_device
from trainables.data.cache import MappedSplit
from trainables.data.datasets import MEDMNIST, load
from trainables.data.formats import medmnist
from trainables.data.normalization import normalization_of
from trainables.errors import InputError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root with BreastMNIST and RetinaMNIST, an empty cache, and every dataset mapped."""
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "MAPPED_FROM", 0)
    cache._opened.cache_clear()
    for name in ("breastmnist", "retinamnist"):
        write_medmnist(tmp_path / "data", name, 28, monkeypatch)
    return tmp_path / "data"


def _unwanted(*args: object) -> None:
    raise AssertionError("nothing may be decoded or read again")


def test_second_load_neither_decodes_nor_reads_the_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load("breastmnist", data_root=root)
    monkeypatch.setattr(medmnist, "unpack", _unwanted)
    monkeypatch.setattr(files.hashlib, "file_digest", _unwanted)
    second = load("breastmnist", data_root=root)
    assert second.digest == first.digest == digest_of(second.splits)
    (root / "breastmnist.npz").unlink()
    assert load("breastmnist", data_root=root).digest == first.digest, "the entry stands for the published file"


def test_changed_file_is_checked_again(root: Path) -> None:
    load("breastmnist", data_root=root)
    np.savez(root / "breastmnist.npz", **medmnist_arrays("breastmnist", 28, seed=1))
    with pytest.raises(InputError, match="damaged or not the published file"):
        load("breastmnist", data_root=root)


def test_small_and_mapped_datasets_are_equal(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mapped = load("retinamnist", data_root=root)
    monkeypatch.setattr(cache, "MAPPED_FROM", 2**28)
    small = load("retinamnist", data_root=root)
    assert small.digest == mapped.digest == digest_of(small.splits)
    assert isinstance(mapped.splits["train"], MappedSplit)
    assert not isinstance(small.splits["train"], MappedSplit)


def _look(data: Data, queue: multiprocessing.Queue[tuple[str, str, int]]) -> None:
    torch.set_num_threads(1)
    splits = to_device(data, normalization_of("dataset", data), torch.device("cpu"))
    seen = sum(len(labels) for split in splits.values() for _, labels in batches(split, 8))
    queue.put((digest_of(data.splits), type(data.splits["train"]).__name__, seen))


@pytest.mark.slow
def test_mapped_dataset_travels_to_another_process_as_an_address(root: Path) -> None:
    data = load("retinamnist", data_root=root)
    assert len(pickle.dumps(data)) < 8_000 < data.splits["train"].images.nbytes
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[tuple[str, str, int]] = context.Queue()
    worker = context.Process(target=_look, args=(data, queue))
    worker.start()
    digest, kind, seen = queue.get(timeout=300)
    worker.join()
    assert (digest, kind, seen) == (data.digest, "MappedSplit", 56)


@pytest.mark.parametrize("mapped", [True, False])
def test_grey_as_rgb_travels_as_one_channel(root: Path, mapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAPPED_FROM", 0 if mapped else 2**28)
    data = load("breastmnist", data_root=root, channels=3)
    arrived = pickle.loads(pickle.dumps(data))  # noqa: S301
    for name, split in data:
        assert np.array_equal(arrived.splits[name].images, split.images)
        assert arrived.splits[name].images.strides[-1] == 0
        assert isinstance(arrived.splits[name], MappedSplit) == mapped
    one_channel = sum(split.stored.nbytes for _, split in data)
    assert len(pickle.dumps(data)) < (8_000 if mapped else one_channel + 8_000)


def test_cut_or_relabelled_split_is_not_mistaken_for_the_whole(root: Path) -> None:
    split = load("retinamnist", data_root=root).splits["train"]
    rows = slice(3, 9)
    cut = replace(split, images=split.images[rows], labels=split.labels[rows])
    mirrored = replace(split, images=split.images[:, :, ::-1])
    relabelled = replace(split, labels=split.labels[::-1])
    for changed in (cut, mirrored, relabelled):
        arrived = pickle.loads(pickle.dumps(changed))  # noqa: S301
        assert np.array_equal(arrived.images, changed.images)
        assert np.array_equal(arrived.labels, changed.labels)


def test_node_without_the_entry_loads_it_itself_or_refuses_other_data(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load("breastmnist", data_root=root)
    sent = pickle.dumps(data)
    assert data.folder is not None
    shutil.rmtree(data.folder)
    arrived = pickle.loads(sent)  # noqa: S301
    assert digest_of(arrived.splits) == data.digest
    shutil.rmtree(data.folder)
    cache._opened.cache_clear()
    write_medmnist(root, "breastmnist", 28, monkeypatch, medmnist_arrays("breastmnist", 28, seed=1))
    with pytest.raises(InputError, match="is not the dataset that was loaded first"):
        pickle.loads(sent)  # noqa: S301


def test_entry_is_built_once_and_whole(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds: list[Path] = []
    unpack = medmnist.unpack

    def counted(path: Path, folder: Path) -> None:
        builds.append(folder)
        unpack(path, folder)

    monkeypatch.setattr(medmnist, "unpack", counted)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: load("breastmnist", data_root=root), range(4)))
    assert len(builds) == 1
    assert len({data.digest for data in found}) == 1
    folder = found[0].folder
    assert folder is not None
    assert not list(folder.parent.glob("*building*"))


def test_interrupted_build_leaves_no_entry_and_is_cleared_away(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request("breastmnist", 28, root, loader=MEDMNIST)

    def broken(folder: Path) -> Data:
        (folder / "train_images.npy").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.cached(request, "some", broken)
    killed = cache.entry_folder("some").with_name(".some.building-1")
    killed.mkdir()
    assert not cache.entry_folder("some").exists()
    data = load("breastmnist", data_root=root)

    def whole(folder: Path) -> Data:
        for name, split in data:
            np.save(folder / f"{name}_images.npy", split.images)
        return data

    assert cache.cached(request, "some", whole).digest == data.digest
    assert not killed.exists()


def _cut(folder: Path) -> None:
    path = folder / "train_images.npy"
    path.write_bytes(path.read_bytes()[:-10])


def _change_shape(folder: Path) -> None:
    entry = json.loads((folder / "entry.json").read_text())
    (folder / "entry.json").write_text(json.dumps({**entry, "shape": [27, 28, 3]}))


@pytest.mark.parametrize(
    "damage", [_cut, _change_shape, lambda f: (f / "entry.json").unlink(), lambda f: (f / "val_labels.npy").unlink()]
)
@pytest.mark.parametrize("mapped", [True, False])
def test_damaged_entry_is_refused(damage, mapped: bool, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(cache, "MAPPED_FROM", 0 if mapped else 2**28)
    folder = load("retinamnist", data_root=root).folder
    assert folder is not None
    damage(folder)
    with pytest.raises(InputError, match=r"is damaged .* delete that folder and run again"):
        load("retinamnist", data_root=root)


def test_cache_that_cannot_be_written_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = root / "no_folder"
    file.write_text("")
    monkeypatch.setenv("SWEEPS_CACHE", str(file))
    with pytest.raises(InputError, match="set SWEEPS_CACHE to a folder with room"):
        load("breastmnist", data_root=root)


def test_disk_without_room_is_refused_before_decoding(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage(root)._replace(free=1000)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: full)
    with pytest.raises(InputError, match=r"takes 0\.0 GB decoded .* SWEEPS_CACHE"):
        load("breastmnist", data_root=root)


def test_read_only_cache_that_holds_the_entry_is_enough(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that an administrator has filled: nothing is written, and what would be kept is worked out again."""
    first = load("breastmnist", data_root=root)
    expected = normalization_of("dataset", first)
    assert first.folder is not None
    shutil.rmtree(first.folder.parent.parent / "checked")
    for path in first.folder.glob("*.normalization.json"):
        path.unlink()

    def refuse(path: Path, text: str) -> None:
        raise InputError("cannot write")

    monkeypatch.setattr(files, "write_beside", refuse)
    second = load("breastmnist", data_root=root)
    assert normalization_of("dataset", second) == expected
    assert not list(first.folder.glob("*.normalization.json"))

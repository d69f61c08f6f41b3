"""The doctor on a real cluster of two nodes, and its judgement of each fact that can be wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.checks.node_checks import check_alike, check_machine, check_ray_counts, check_skew, check_storage
from cluster.checks.node_facts import Facts, Listener, token_problem
from cluster.checks.ray_nodes import Node
from tests.support.ray_head import Head, another_node

ABOUT_US = {"nodes", "Python", "Ray", "our code's digest", "user", "clock", "storage", "code", "token", "node"}


@pytest.fixture(scope="module")
def two_nodes(head: Head, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    with another_node(head, tmp_path_factory.mktemp("node")):
        yield head


def ask(head: Head, *words: str, **changes: str) -> tuple[int, list[dict[str, Any]]]:
    code, out, errors = head.run("cluster.doctor", "--address", head.gcs, "--json", *words, **changes)
    assert out, errors
    return code, json.loads(out)["findings"]


@pytest.mark.slow
def test_two_nodes_that_share_a_folder_are_fit(two_nodes: Head, tmp_path: Path) -> None:
    _, findings = ask(two_nodes, "--nodes", "2", "--timeout", "90", "--storage", str(tmp_path))
    ours = [finding for finding in findings if finding["subject"] in ABOUT_US]
    assert not [finding for finding in ours if finding["level"] != "ok"]
    texts = {finding["subject"]: finding["text"] for finding in ours}
    assert texts["nodes"] == "2 alive"
    assert "written by all 2 nodes, read back by all and the driver" in texts["storage"]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_nodes_that_do_not_come_fail_and_storage_that_is_not_shared_is_told(two_nodes: Head) -> None:
    """`/proc/self/cwd` is another folder for each node's workers, as a local disk is."""
    words = ["--nodes", "3", "--timeout", "8", "--storage", "/proc/self/cwd/results-of-one"]
    code, findings = ask(two_nodes, *words)
    assert code == 1
    found = {(finding["level"], finding["subject"]): finding for finding in findings}
    assert found["fail", "nodes"]["text"] == "2 of 3 nodes came within 8 s"
    assert "does not see" in found["warn", "storage"]["text"]  # such nodes send their files to the driver
    assert all(finding["fix"] for finding in findings if finding["level"] != "ok")


@pytest.mark.slow
def test_a_wrong_token_is_one_line(head: Head) -> None:
    code, out, errors = head.run("cluster.doctor", "--address", head.gcs, RAY_AUTH_TOKEN="0" * 64)
    assert code == 2
    assert not out
    assert errors.startswith("error: no Ray cluster answers at")
    assert "the token is missing or wrong" in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.slow
def test_an_address_where_nothing_listens_is_one_line(head: Head) -> None:
    code, _, errors = head.run("cluster.doctor", "--address", "127.0.0.1:9")
    assert code == 2
    assert errors.startswith("error: nothing answers at 127.0.0.1:9")


SOUND = Facts(
    host="a", user="me", python="3.11.7", ray="2.60.0", code_digest="0" * 16, problem="", auth_mode="token",
    token_problem=None, cpus=8, memory_gib=64.0, memory_free_gib=50.0, shared_memory_gib=30.0, disk_folder="/tmp/ray",
    disk_free_gib=100.0, disk_free_percent=50.0, inodes_free_percent=90.0, gpus=("T4",), gpu_problem="", cuda=True,
    listening=(Listener("raylet", "0.0.0.0", 1, True),),
)  # fmt: skip
FAULTS = [
    ({"disk_free_gib": 0.5}, "disk", "fail"),
    ({"disk_free_percent": 1.0}, "disk", "fail"),
    ({"disk_free_gib": 5.0}, "disk", "warn"),
    ({"inodes_free_percent": 1.0}, "inodes", "warn"),
    ({"memory_free_gib": 1.0}, "memory", "warn"),
    ({"cuda": False}, "gpu", "fail"),
    ({"problem": "No module named 'trainables'"}, "code", "fail"),
    ({"token_problem": ("there is none", "make one")}, "token", "fail"),
    ({"listening": (Listener("raylet", "0.0.0.0", 1, False),)}, "authentication", "fail"),
    ({"listening": (), "auth_mode": "disabled"}, "authentication", "warn"),
]


def test_a_sound_machine_has_nothing_to_mend() -> None:
    assert {finding.level for finding in check_machine(SOUND, shared=True)} == {"ok"}


@pytest.mark.parametrize(("change", "subject", "level"), FAULTS)
def test_each_fault_of_a_machine_is_seen(change: dict[str, Any], subject: str, level: str) -> None:
    found = {f.subject: f for f in check_machine(replace(SOUND, **change), shared=True) if f.level != "ok"}
    assert set(found) == {subject}
    assert found[subject].level == level
    assert found[subject].fix


@pytest.mark.parametrize(
    ("field", "subject", "level"),
    [
        ("python", "Python", "fail"),
        ("ray", "Ray", "fail"),
        ("code_digest", "our code's digest", "fail"),
        ("user", "user", "warn"),
    ],
)
def test_a_node_that_differs_is_named(field: str, subject: str, level: str) -> None:
    odd = replace(SOUND, host="odd", **{field: "other"})
    found = [f for f in check_alike([SOUND, odd], SOUND) if f.level != "ok"]
    assert [(f.subject, f.level, f.where) for f in found] == [(subject, level, "odd")]


@pytest.mark.parametrize(("gpus", "store", "subjects"), [(1, 5, set()), (2, 5, {"gpu"}), (1, 0.1, {"object store"})])
def test_what_ray_counts_is_compared_with_what_is_there(gpus: float, store: float, subjects: set[str]) -> None:
    node = Node("id", "10.0.0.1", 8, gpus, store, True)
    assert {f.subject for f in check_ray_counts(node, SOUND) if f.level != "ok"} == subjects


def test_a_clock_is_wrong_only_beyond_what_the_question_took() -> None:
    assert check_skew("a", 105.0, 100.0, 100.2).level == "fail"
    assert check_skew("a", 105.0, 100.0, 110.0).level == "ok"


def test_a_node_that_cannot_write_is_named_with_the_reason() -> None:
    found = list(check_storage("/x", {"n": "a"}, {"n": "Permission denied"}, {"n": b"1"}, {"driver": {"n": None}}))
    assert [(f.level, f.where) for f in found] == [("fail", "a")]
    assert "Permission denied" in found[0].text


@pytest.mark.parametrize(("mode", "text", "wrong"), [(0o600, "t", False), (0o644, "t", True), (0o600, " ", True)])
def test_token_files(tmp_path: Path, mode: int, text: str, wrong: bool) -> None:
    path = tmp_path / "auth_token"
    path.write_text(text)
    path.chmod(mode)
    assert (token_problem(path) is not None) == wrong


def test_a_missing_token_file_is_a_problem(tmp_path: Path) -> None:
    assert token_problem(tmp_path / "none") is not None

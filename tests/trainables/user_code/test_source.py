"""Code of a user's own is found with what it imports, runs from its texts alone, and every mistake is one line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from sweeps.tracking.follow import _one_line
from trainables.errors import InputError
from trainables.user_code.source import Source, first_line, is_user_code, load_object, read_source


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize("spec", ["my_net.py:MyNet", "nets/my_net.py:build", "package.module:NAME", "a b/c.py:D"])
def test_a_spec_is_known(spec: str) -> None:
    assert is_user_code(spec)


@pytest.mark.parametrize("spec", ["relu", "squareplus:b=1", "timm:convnext_atto", "optuna:tpe", "partial:2", "x.py", 3])
def test_other_names_are_no_spec(spec: object) -> None:
    assert not is_user_code(spec)


def test_a_file_runs_from_its_texts_after_it_was_deleted(tmp_path: Path) -> None:
    folder = write(
        tmp_path, {"my_net.py": "from helper import SIZE\nclass Net:\n    size = SIZE\n", "helper.py": "SIZE = 7\n"}
    )
    source = read_source("my_net.py:Net", folder)
    for path in folder.iterdir():
        path.unlink()
    assert sorted(source.files) == ["helper.py", "my_net.py"]
    assert load_object("my_net.py:Net", source).size == 7


def test_a_package_with_relative_imports(tmp_path: Path) -> None:
    own = "from ..parts import VALUE\nfrom . import more\n"
    files = {"lab/__init__.py": "", "lab/nets/__init__.py": "", "lab/nets/own.py": own, "lab/nets/more.py": "X = 1\n"}
    write(tmp_path, {**files, "lab/parts.py": "VALUE = 3\n", "lab/unused.py": "1/0\n"})
    source = read_source("lab.nets.own:VALUE", tmp_path)
    assert "lab/unused.py" not in source.files
    assert load_object("lab.nets.own:VALUE", source) == 3
    assert load_object("lab.nets.own:more", source).X == 1


def test_two_files_of_one_name_do_not_clash(tmp_path: Path) -> None:
    values = []
    for number in (1, 2):
        folder = write(tmp_path / str(number), {"net.py": "import util\nX = util.X\n", "util.py": f"X = {number}\n"})
        values.append(load_object("net.py:X", read_source("net.py:X", folder)))
    assert values == [1, 2]
    assert "util" not in sys.modules
    assert "net" not in sys.modules


def test_a_module_that_is_loaded_already_stays(tmp_path: Path) -> None:
    import json

    folder = write(tmp_path, {"mine.py": "import json\nX = json.MARK\n", "json.py": "MARK = 5\n"})
    assert load_object("mine.py:X", read_source("mine.py:X", folder)) == 5
    assert sys.modules["json"] is json


def test_an_import_within_a_function_leads_to_the_sources_own(tmp_path: Path) -> None:
    text = "def late():\n    import lab.util\n    import util as short\n    return lab.util.X + short.X\n"
    files = {"net.py": text, "util.py": "X = 1\n", "lab/__init__.py": "", "lab/util.py": "X = 10\n"}
    assert load_object("net.py:late", read_source("net.py:late", write(tmp_path, files)))() == 11


def test_a_dataclass_with_postponed_annotations(tmp_path: Path) -> None:
    head = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    text = head + "@dataclass\nclass A:\n    x: B | int = 2\nclass B: ...\n"
    made = load_object("net.py:A", read_source("net.py:A", write(tmp_path, {"net.py": text})))
    assert get_type_hints(made)["x"].__args__[1] is int


def test_the_digest_follows_what_is_imported(tmp_path: Path) -> None:
    folder = write(tmp_path, {"net.py": "import util\n", "util.py": "X = 1\n", "other.py": "Y = 1\n"})
    before = read_source("net.py:X", folder).digest
    write(folder, {"other.py": "Y = 2\n"})
    assert read_source("net.py:X", folder).digest == before
    write(folder, {"util.py": "X = 2\n"})
    assert read_source("net.py:X", folder).digest != before


def test_a_source_is_the_same_wherever_it_stands(tmp_path: Path) -> None:
    here, there = (write(tmp_path / name, {"net.py": "X = 1\n"}) for name in ("here", "there"))
    assert read_source("net.py:X", here) == read_source(f"{there}/net.py:X")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such file"),
        ("def f(:\n", "line 1"),
        ("x = 1\nclass MyNett: ...\n", "did you mean 'MyNett'"),
        ("import nowhere_to_be_found\n", "line 1: ModuleNotFoundError"),
        ("\n\n1 / 0\n", "net.py, line 3: ZeroDivisionError"),
        ("import sys\nsys.exit(0)\n", "net.py, line 2: SystemExit: 0"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "net.py").write_text(text)
    with pytest.raises(InputError) as error:
        load_object("net.py:MyNet", read_source("net.py:MyNet", tmp_path))
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_bytes(b"x = '\xe4'\n")
    with pytest.raises(InputError, match="UTF-8"):
        read_source("net.py:x", tmp_path)


def test_texts_of_a_source_can_be_sent() -> None:
    source = Source("a.py", {"a.py": "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 2\n"})
    assert load_object("a.py:A", source)().x == 2


def test_an_error_whose_text_fails_is_named_by_its_type() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

    assert first_line(Mute()) == _one_line(Mute()) == "Mute"

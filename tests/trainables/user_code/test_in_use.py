"""Code in use: one text a spec for a whole process, and its copy in a run's folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import optim

from trainables.errors import InputError
from trainables.user_code.in_use import object_of, read_saved, save_sources, source_of, use_sources
from trainables.user_code.source import Source, read_source


def test_a_file_edited_later_is_the_text_that_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("edited_later.py").write_text("VALUE = 1\n")
    assert object_of("edited_later.py:VALUE") == 1
    Path("edited_later.py").write_text("VALUE = 2\n")
    assert object_of("edited_later.py:VALUE") == 1
    use_sources({"edited_later.py:VALUE": read_source("edited_later.py:VALUE")})
    assert object_of("edited_later.py:VALUE") == 2


def test_a_worker_needs_no_file() -> None:
    use_sources({"not_here.py:answer": Source("not_here.py", {"not_here.py": "def answer():\n    return 42\n"})})
    assert object_of("not_here.py:answer")() == 42


def test_an_installed_module_is_imported_as_it_is() -> None:
    assert object_of("torch.optim:ASGD") is optim.ASGD
    assert source_of("torch.optim:ASGD").installed == "torch.optim"


def test_the_copy_is_read_back_and_a_change_is_refused(tmp_path: Path) -> None:
    source = Source("a.py", {"a.py": "from lab.b import x\n", "lab/b.py": "x = 'ä'\n"})
    save_sources(tmp_path, {"a.py:x": source})
    assert read_saved(tmp_path, "a.py", source.digest) == source
    (tmp_path / source.digest / "lab" / "b.py").write_text("x = 'b'\n")
    with pytest.raises(InputError, match="does not hold the code"):
        read_saved(tmp_path, "a.py", source.digest)

"""Files of a run that a page may link to: whole names inside the run, no links, nothing hidden."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.runs.run_folder import RunFolder, plain_name
from sweeps.screen.runs import in_words
from trainables.errors import InputError

MOST_FILES = 300
# bytes from the end of a log
LOG_BYTES = 40_000
# pictures of what the page of a trial draws itself
DRAWN = {
    "training_curves.png", "weight_distributions.png", "confusion_matrix.png", "per_class.png", "roc.png", "pr.png",
    "calibration.png",
}  # fmt: skip
PICTURES = {".png": "image/png", ".jpg": "image/jpeg"}
# HTML and SVG of a run could hold a script: they are only ever downloaded
TEXTS = {".txt", ".json", ".jsonl", ".log", ".csv", ".yaml", ".md"}


@dataclass(frozen=True)
class Found:
    """A file below a run's folder: its name from there, and its size in words."""

    name: str
    size: str

    @property
    def picture(self) -> bool:
        """Return whether a page can show it."""
        return Path(self.name).suffix in PICTURES

    @property
    def words(self) -> str:
        """Return its name as words: `confusion matrix`."""
        return Path(self.name).stem.replace("_", " ")


def pictures_of(files: Sequence[Found]) -> dict[str, list[Found]]:
    """Return the pictures by what they are of; those that the page draws itself are left out."""
    kinds: dict[str, list[Found]] = {"Pictures": [], "Evaluation": [], "Explanation": []}
    for file in files:
        if file.picture and Path(file.name).name not in DRAWN:
            folders = Path(file.name).parts[:-1]
            kind = "Explanation" if "explain" in folders else "Evaluation" if "evaluation" in folders else "Pictures"
            kinds[kind].append(file)
    return {kind: found for kind, found in kinds.items() if found}


def media_type(name: str) -> str:
    """Return how a file is sent: a picture, plain text, or bytes to be downloaded."""
    suffix = Path(name).suffix.lower()
    return PICTURES.get(suffix) or ("text/plain; charset=utf-8" if suffix in TEXTS else "application/octet-stream")


def files_below(run: RunFolder, folder: Path) -> Iterator[Found]:
    """Yield the files below a folder of a run, by name, as many as a page shows."""
    count = 0
    for below, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(below) / name
            if name.startswith(".") or path.is_symlink() or not path.is_file():
                continue
            count += 1
            if count > MOST_FILES:
                return
            yield Found(path.relative_to(run.path).as_posix(), in_words(path.stat().st_size))


def open_file(run: RunFolder, name: str) -> tuple[int, int]:
    """Return an open file of a run, and its size. Raises `InputError` for a name that is not of a file inside of it."""
    parts = [plain_name(part, "the file's name") for part in name.split("/")]
    where = os.open(run.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for number, part in enumerate(parts):
            kind = os.O_DIRECTORY if number < len(parts) - 1 else os.O_NONBLOCK
            # each step from the folder before, and never through a link
            following = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | kind, dir_fd=where)
            os.close(where)
            where = following
        status = os.fstat(where)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("no file")
    except OSError:
        os.close(where)
        raise InputError("there is no such file in this run") from None
    return where, status.st_size


def end_of_log(run: RunFolder) -> str:
    """Return the end of the run's log, "" where there is none."""
    try:
        # neither a link, which may lead out of the run, nor a pipe, which would be waited for
        with os.fdopen(os.open(run.log, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""

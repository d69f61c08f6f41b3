"""The files that are sent to a cluster with a job: our code and the files that the command names, nothing else."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from sweeps.planning.command import Command
from sweeps.searchers.grid import specs_of
from sweeps.trackers.table import read_spec
from trainables.errors import InputError
from trainables.user_code.in_use import source_of
from trainables.user_code.source import is_user_code, split_spec

ROOT = Path(__file__).parent.parent
PACKAGES = ("sweeps", "trainables", "search_spaces", "analysis", "deployment", "cluster", "benchmarks")
# the code has about 1 MB: more is data that lies among it
LIMIT_MB = 20.0
# the folder of files that the command names
GIVEN = "given"
NOTIFY = f"{GIVEN}/notify.sh"
# how many of the biggest files are named, when there is too much
NAMED = 3


@dataclass(frozen=True)
class JobFiles:
    """A folder with all files to send. words: the command, with its files by their names in the folder."""

    folder: Path
    files: int
    bytes: int
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return `257 files, 1,012 kB`."""
        return f"{self.files} files, {self.bytes / 1000:,.0f} kB"


@contextmanager
def packed(command: Command, root: Path = ROOT, limit_mb: float = LIMIT_MB) -> Iterator[JobFiles]:
    """Make a temporary folder with the code and the files that the command names. Raises `InputError` for too much."""
    sources = {path.relative_to(root).as_posix(): path for path in code_files(root)}
    sent, given = _with_given_files(command)
    sources |= given
    texts = _user_code(command)
    if command.notify is not None:
        # Ray lists a job's command, and may show it to all: a secret is in the file that the command runs
        texts[NOTIFY] = command.notify + "\n"
        sent = sent.model_copy(update={"notify": f"sh {NOTIFY}"})
    sizes = {name: path.stat().st_size for name, path in sources.items()}
    sizes |= {name: len(text.encode()) for name, text in texts.items()}
    refuse_too_much(sizes, limit_mb)
    with TemporaryDirectory(prefix="sweeps-job-") as name:
        for inside, path in sources.items():
            target = Path(name) / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        for inside, text in texts.items():
            target = Path(name) / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        yield JobFiles(Path(name), len(sizes), sum(sizes.values()), tuple(sent.words()))


def code_files(root: Path = ROOT) -> list[Path]:
    """Return the files of our packages: those that git tracks or would track; without git all but compiled ones.

    Links are left out.
    """
    found = _known_to_git(root) or [path for package in PACKAGES for path in (root / package).rglob("*")]
    return sorted(
        {path for path in found if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts}
    )


def _known_to_git(root: Path) -> list[Path]:
    """Return the files that git lists; none without git, and none for a package in somebody's ignored `.venv`."""
    listing = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PACKAGES]
    try:
        names = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        return []
    return [root / name for name in names if name]


def refuse_too_much(sizes: dict[str, int], limit_mb: float) -> None:
    """Raise `InputError` where the files exceed the limit together; it names the biggest of them."""
    total = sum(sizes.values()) / 1e6
    if total <= limit_mb:
        return
    biggest = sorted(sizes, key=lambda name: -sizes[name])[:NAMED]
    named = ", ".join(f"{name} ({sizes[name] / 1e6:.1f} MB)" for name in biggest)
    raise InputError(
        f"{total:.1f} MB would travel, more than {limit_mb:g}: {named}; move what is no code out of the packages, "
        "or name it in .gitignore"
    )


def _user_code(command: Command) -> dict[str, str]:
    """Return the texts of the user's own code that the sweep names, by the paths at which the job looks for them.

    The job starts in the folder that is sent, as the command does here. Raises `InputError` for a file elsewhere.
    """
    _, sweep, _ = command.definition()
    texts: dict[str, str] = {}
    trackers = (read_spec(text).name for text in command.track)
    for spec in [*specs_of(sweep), *filter(is_user_code, trackers)]:
        source = source_of(spec)
        name = split_spec(spec)[0]
        inside = PurePosixPath(name)
        if name.endswith(".py") and (inside.is_absolute() or ".." in inside.parts or name.startswith("~")):
            raise InputError(f"{spec}: only files below this folder are sent: copy it here, or go to its folder")
        if not source.installed:
            folder = inside.parent if name.endswith(".py") else PurePosixPath()
            texts |= {(folder / path).as_posix(): text for path, text in source.files.items()}
    for path in texts:
        if PurePosixPath(path).parts[0] in (*PACKAGES, *(f"{package}.py" for package in PACKAGES)):
            raise InputError(f"{path}: {PurePosixPath(path).parts[0]} is a package of ours: choose another name")
    return texts


def _with_given_files(command: Command) -> tuple[Command, dict[str, Path]]:
    """Return the command with the sweep's .py file and the overrides file by their names there, and these files."""
    named = {"sweep": Path(command.sweep) if command.sweep.endswith(".py") else None, "overrides": command.overrides}
    given = {field: path for field, path in named.items() if path is not None}
    for path in given.values():
        if not path.is_file():
            raise InputError(f"{path} is not a file here, so it cannot be sent: name one that is")
    there = {field: f"{GIVEN}/{path.name}" for field, path in given.items()}
    return command.model_copy(update=there), {there[field]: path for field, path in given.items()}

"""What travels to a cluster with a job: our code and the files that the command names, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from trainables.errors import InputError

ROOT = Path(__file__).parent.parent
PACKAGES = ("sweeps", "trainables", "search_spaces", "analysis", "deployment", "cluster", "benchmarks")
LIMIT_MB = 20.0  # the code has about 1 MB: more is data that was left lying in it
GIVEN = "given"  # the folder of files that the command names
NAMED = 3  # of the biggest files, when there is too much


@dataclass(frozen=True)
class Baggage:
    """A folder with all that travels. words: the command, with its files by their names there."""

    folder: Path
    files: int
    bytes: int
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """`257 files, 1,012 kB`."""
        return f"{self.files} files, {self.bytes / 1000:,.0f} kB"


@contextmanager
def packed(words: Sequence[str], root: Path = ROOT, limit_mb: float = LIMIT_MB) -> Iterator[Baggage]:
    """A temporary folder with the code and the files that the command names. Raises `InputError` for too much."""
    sources = {path.relative_to(root).as_posix(): path for path in code_files(root)}
    changed, given = _given_files(words)
    sources |= given
    sizes = {name: path.stat().st_size for name, path in sources.items()}
    refuse_too_much(sizes, limit_mb)
    with TemporaryDirectory(prefix="sweeps-job-") as name:
        for place, path in sources.items():
            target = Path(name) / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        yield Baggage(Path(name), len(sizes), sum(sizes.values()), changed)


def code_files(root: Path = ROOT) -> list[Path]:
    """The files of our packages: those that git tracks or would, else (no git) all but compiled ones. No links."""
    found = _known_to_git(root) or [path for package in PACKAGES for path in (root / package).rglob("*")]
    return sorted(
        {path for path in found if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts}
    )


def _known_to_git(root: Path) -> list[Path]:
    """Nothing where there is no git, and nothing for a package that is installed in somebody's ignored `.venv`."""
    listing = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PACKAGES]
    try:
        names = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        return []
    return [root / name for name in names if name]


def refuse_too_much(sizes: dict[str, int], limit_mb: float) -> None:
    """Raises `InputError` where the files have more than the limit together, with the biggest of them."""
    total = sum(sizes.values()) / 1e6
    if total <= limit_mb:
        return
    biggest = sorted(sizes, key=lambda name: -sizes[name])[:NAMED]
    named = ", ".join(f"{name} ({sizes[name] / 1e6:.1f} MB)" for name in biggest)
    raise InputError(
        f"{total:.1f} MB would travel, more than {limit_mb:g}: {named}; move what is no code out of the packages, "
        "or name it in .gitignore"
    )


def _given_files(words: Sequence[str]) -> tuple[tuple[str, ...], dict[str, Path]]:
    """The words with a sweep's .py file and the overrides file renamed to where they will lie, and these files."""
    changed = list(words)
    files: dict[str, Path] = {}
    for position, word in enumerate(words):
        option, separator, value = word.partition("=")
        if position == 0 and word.endswith(".py"):
            changed[0] = _carry(Path(word), files)
        elif option == "--overrides" and separator:
            changed[position] = f"--overrides={_carry(Path(value), files)}"
        elif word == "--overrides" and position + 1 < len(words):
            changed[position + 1] = _carry(Path(words[position + 1]), files)
    return tuple(changed), files


def _carry(path: Path, files: dict[str, Path]) -> str:
    if not path.is_file():
        raise InputError(f"{path} is not a file here, so it cannot be sent: name one that is")
    files[f"{GIVEN}/{path.name}"] = path
    return f"{GIVEN}/{path.name}"

"""The frame of all commands: bad input ends with one line and code 2, and never with a traceback."""

from __future__ import annotations

import atexit
import errno
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from io import TextIOWrapper
from itertools import takewhile
from pathlib import Path
from typing import Any, NoReturn

import typer

from analysis.terminal.exit_codes import ExitCode
from analysis.terminal.home import find_home
from analysis.terminal.plain_text import visible
from trainables.atomic_files import check_regular
from trainables.errors import DISTRIBUTION, LONGEST, InputError

BAD_INPUT = int(ExitCode.BAD_INPUT)
# errors of a disk, wherever they come from, are no faults of the program
REFUSED = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM),
        "free space, or mend its rights",
    ),
    **dict.fromkeys((errno.ENAMETOOLONG, errno.ELOOP), "name another"),
}


def start(app: Callable[..., Any], arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a Typer app, or a command made of one, as a program, and end the process."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    code: Any = 0
    _open_closed_streams()
    # A terminal that knows ASCII alone shows ? for the rest.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    if home := find_home():
        print(f"note: there is no home folder: settings and caches go to {visible(home)}; set HOME", file=sys.stderr)
    try:
        guard(check_current_folder)
        guard(check_own_package)
        guard(partial(check_words, words))
        code = guard(lambda: app(args=words, standalone_mode=False))
    except SystemExit as end:
        code = end.code
    if isinstance(code, str):
        print(code, file=sys.stderr)
    _leave(code if isinstance(code, int) else int(code is not None))


def _open_closed_streams() -> None:
    """Let what is written to a stream that was closed (`>&-`) go nowhere; Python has None for it.

    Its number is taken, too: it would be that of the next file, a ledger, to which libraries would then print.
    """
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            if nowhere != number:
                os.close(nowhere)
            # programs that are started write there, too
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "w", closefd=False))


def check_current_folder() -> None:
    """Raise `InputError` where the current folder was removed: paths and libraries cannot be found from there."""
    try:
        os.getcwd()
    except OSError as error:
        raise InputError(f"the current folder cannot be read ({error.strerror}): cd to one that is there") from None


def check_words(words: Sequence[str]) -> None:
    """Raise `InputError` for an empty word: paths, runs and gates of that name would be others than were meant."""
    if "" in words:
        before = next((word for word in reversed(words[: words.index("")]) if word), "the command")
        raise InputError(
            f"the word after {before} is empty: was a variable of the shell not set? Write it, or leave it out"
        )


def check_outputs(files: Sequence[Path | None], folder: Path | None = None) -> None:
    """Raise `InputError` for a path that no file, or folder, can have, before slow work. Nothing is left behind.

    Nothing may be logged of a command that cannot give its answers.
    """
    for path in filter(None, (*files, folder)):
        try:
            if path != folder and path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "is a folder")
            _try_folder(path if path == folder else path.parent)
            if path.exists():
                check_regular(path)
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror}): name another, or mend its rights") from None


def _try_folder(folder: Path) -> None:
    """Raise `OSError` where a folder cannot be made or written into; one that is new is removed again.

    Only making it tells: the rights of a folder say nothing of a full disk, or of /proc.
    """
    new = [*takewhile(lambda path: not path.exists(), (folder, *folder.parents))]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    finally:
        for made in new:
            # another command may have written into it meanwhile
            with suppress(OSError):
                made.rmdir()


def check_own_package() -> None:
    """Raise `InputError` where the package `sweeps` that Python finds is another project's of that name."""
    spec, here = find_spec("sweeps"), Path(__file__).parents[1]
    folder = Path(spec.origin).parent if spec and spec.origin else None
    if folder is None or folder.resolve() != (here / "sweeps").resolve():
        raise InputError(
            f"the package `sweeps` that Python finds is another project's ({folder}), ours is in {here}: "
            f"pip uninstall sweeps, then pip install {here if (here / 'pyproject.toml').is_file() else DISTRIBUTION}"
        )


def _leave(code: int) -> NoReturn:
    """End as Python does, but free no object one by one: where torch was imported that takes a second."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons
    atexit._run_exitfuncs()
    # The reader of our output has gone, or the output was closed for that.
    with suppress(BrokenPipeError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def guard(action: Callable[[], Any]) -> Any:
    """Run an action; an `InputError` or a wrong word is printed as one line on stderr and ends the program with 2."""
    try:
        return action()
    except InputError as error:
        print_error(error)
        sys.exit(BAD_INPUT)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nothing is wrong.
        sys.stderr.close()
        sys.exit(0)
    except typer.Abort:
        print("not done: it was not confirmed", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        where = error.filename or "a file"
        print_error(f"{str(where)[:LONGEST]} cannot be read or written ({error.strerror}): {REFUSED[error.errno]}")
        sys.exit(BAD_INPUT)
    except Exception as error:
        # Typer raises its own copy of click's exceptions, which has no public name.
        if not hasattr(error, "format_message"):
            raise
        print_error(f"{str(error.format_message()).rstrip('.')}; --help lists all options")
        sys.exit(BAD_INPUT)


def print_error(error: object) -> None:
    """Print one line on stderr."""
    print(visible(f"error: {' '.join(str(error).split())}"), file=sys.stderr)


def was_given(context: typer.Context, name: str) -> bool:
    """Return whether an option stands on the command line."""
    return str(context.get_parameter_source(name)).endswith("COMMANDLINE")


def refuse_unused(context: typer.Context, names: Sequence[str], why: str) -> None:
    """Raise `InputError` where one of these options was given: it would have no effect. why: its condition."""
    for option in context.command.params:
        if option.name in names and was_given(context, str(option.name)):
            raise InputError(f"{max(option.opts, key=len)} has no effect here ({why}): leave it out")


def new_app() -> typer.Typer:
    """Return a Typer app without shell completion, and without Typer's own tracebacks, which hide the cause."""
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")

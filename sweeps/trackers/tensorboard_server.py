"""Starts TensorBoard on a run, on this machine's loopback."""

from __future__ import annotations

import socket
import subprocess
import sys

from rich.console import Console

from analysis.runs.run_folder import RunFolder
from analysis.terminal.plain_text import say
from sweeps.trackers.tensorboard_pages import complete
from trainables.errors import InputError

HOST = "127.0.0.1"


def serve(console: Console, run: RunFolder, port: int) -> int:
    """Add what the event files lack, and serve them until Ctrl-C. Returns TensorBoard's exit code.

    Raises `InputError` where the port is taken.
    """
    check_port(port)
    try:
        notes = complete(run)
    except OSError as error:
        # the curves can be served all the same
        notes = [f"texts and pictures cannot be added to {run.tensorboard} ({error.strerror})"]
    for note in notes:
        say(console, note, "note:")
    say(console, f"TensorBoard of {run.sweep}/{run.run_id}: http://{HOST}:{port}/ (Ctrl-C ends it)")
    words = [sys.executable, "-m", "tensorboard.main", "--logdir", str(run.tensorboard), "--host", HOST]
    process = subprocess.Popen([*words, "--port", str(port)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        process.terminate()
        process.wait()


def check_port(port: int) -> None:
    """Raise `InputError` where something listens at the port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise InputError(f"--port {port} cannot be used ({error.strerror}): choose another one") from None

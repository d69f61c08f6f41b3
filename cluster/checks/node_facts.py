"""The facts of a node: versions, user, clock, disk, memory, GPUs, open ports. Runs on every node."""

from __future__ import annotations

import getpass
import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from analysis.parallel.ray_private import auth_mode
from sweeps.screen.gpu import local_gpus

GIB = 2**30
RAY_PROGRAMS = ("raylet", "gcs_server", "ray::", "/ray/dashboard/", "/ray/_private/", "ray.util.client")


@dataclass(frozen=True, order=True)
class Listener:
    """A program of Ray's that other machines can connect to. token: it asks for the token."""

    program: str
    address: str
    port: int
    token: bool


@dataclass(frozen=True)
class Facts:
    """One node. GiB and per cent; "" or None for what the node could not find out.

    problem: why our code could not be loaded. token_problem: what is wrong with the token file, and the fix.
    cuda: whether PyTorch can use the GPUs, None where there are none.
    """

    host: str
    user: str
    python: str
    ray: str
    code_digest: str
    problem: str
    auth_mode: str
    token_problem: tuple[str, str] | None
    cpus: int
    memory_gib: float
    memory_free_gib: float
    shared_memory_gib: float
    disk_folder: str
    disk_free_gib: float
    disk_free_percent: float
    inodes_free_percent: float | None
    gpus: tuple[str, ...]
    gpu_problem: str
    cuda: bool | None
    listening: tuple[Listener, ...]


def gather(folder: Path, node_id: str = "") -> Facts:
    """Return the facts of this machine. folder: the one whose disk counts, such as Ray's temporary folder."""
    gpus, gpu_problem = local_gpus(processes=False)
    digest, problem = _code_digest()
    memory = psutil.virtual_memory()
    disk = shutil.disk_usage(existing(folder))
    return Facts(
        host=socket.gethostname() + (f" ({node_id[:6]})" if node_id else ""),
        user=getpass.getuser(),
        python=platform.python_version(),
        ray=_ray_version(),
        code_digest=digest,
        problem=problem,
        auth_mode=auth_mode(),
        token_problem=_own_token_problem(),
        cpus=os.cpu_count() or 1,
        memory_gib=memory.total / GIB,
        memory_free_gib=memory.available / GIB,
        shared_memory_gib=shutil.disk_usage("/dev/shm").free / GIB if Path("/dev/shm").exists() else 0.0,
        disk_folder=str(folder),
        disk_free_gib=disk.free / GIB,
        disk_free_percent=100 * disk.free / disk.total,
        inodes_free_percent=_free_inodes(existing(folder)),
        gpus=tuple(gpu.name for gpu in gpus),
        gpu_problem=gpu_problem,
        cuda=_cuda() if gpus else None,
        listening=listening(),
    )


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def clock() -> float:
    """Return the seconds since 1970 by this node's clock."""
    return time.time()


def _ray_version() -> str:
    try:
        return version("ray")
    except PackageNotFoundError:
        return ""


def _code_digest() -> tuple[str, str]:
    try:
        from trainables.code_digest import code_digest

        return code_digest(), ""
    except ImportError as error:
        return "", f"{error} (with {sys.executable})"


def _cuda() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _free_inodes(folder: Path) -> float | None:
    found = os.statvfs(folder)
    # btrfs and some NFS count none
    return 100 * found.f_favail / found.f_files if found.f_files else None


def token_path() -> Path:
    """Return the path at which Ray looks for the token."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


def _own_token_problem() -> tuple[str, str] | None:
    return None if os.environ.get("RAY_AUTH_TOKEN") else token_problem(token_path())


def token_problem(path: Path) -> tuple[str, str] | None:
    """Return what is wrong with a token file, and the fix; None if nothing is."""
    make = "ray get-auth-token --generate >/dev/null && chmod 600 ~/.ray/auth_token"
    if not path.is_file():
        return f"there is no token in {path}", make
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        return f"others on the machine may read {path} (mode {mode:04o})", f"chmod 600 {path}"
    if not path.read_text().strip():
        return f"{path} is empty", f"rm {path} && {make}"
    return None


def listening() -> tuple[Listener, ...]:
    """Return the ports on which our user's Ray processes listen beyond loopback."""
    found: set[Listener] = set()
    for process in psutil.process_iter(["name", "cmdline"]):
        name, words = process.info["name"] or "", process.info["cmdline"] or []
        if any(program in " ".join([name, *words[:3]]) for program in RAY_PROGRAMS):
            try:
                found.update(_listeners(process, name))
            except (psutil.AccessDenied, psutil.NoSuchProcess):
                # another user's, or it has ended: not ours to judge
                continue
    return tuple(sorted(found))


def _listeners(process: psutil.Process, name: str) -> Iterator[Listener]:
    # Ray's agents overwrite their environment with their title: their parent, the raylet, has it still
    family = [process, *process.parents()[:1]]
    guarded = any(member.environ().get("RAY_AUTH_MODE") == "token" for member in family)
    for connection in process.net_connections(kind="inet"):
        if connection.status == psutil.CONN_LISTEN and not _is_loopback(connection.laddr.ip):
            yield Listener(name, connection.laddr.ip, connection.laddr.port, guarded)


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"

"""Every private name of Ray that we use, and the places of its files. Tried with Ray 2.60."""

from __future__ import annotations

import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from trainables.errors import InputError

_patched = threading.RLock()


@contextmanager
def own_process_groups_on_loopback() -> Iterator[None]:
    """Ray's processes that start while it is entered have groups of their own and listen on 127.0.0.1 alone.

    Ctrl-C and `timeout` signal a whole group: Ray's control store would end at once, and we could not end in order.
    Ray replaces 127.0.0.1 by the host's address, where its metrics would answer anybody.
    """
    services: Any = import_module("ray._private.services")
    with _patched:
        popen, resolve = services.ConsolePopen, services.resolve_ip_for_localhost
        services.ConsolePopen = partial(popen, process_group=0)
        services.resolve_ip_for_localhost = str
        try:
            yield
        finally:
            services.ConsolePopen, services.resolve_ip_for_localhost = popen, resolve


# of Ray's node: its dashboard, the autoscaler, and what copies the workers' output to the driver
UNUSED = ("start_api_server", "start_monitor", "start_log_monitor")


@contextmanager
def without_unused_services() -> Iterator[None]:
    """A Ray that starts while it is entered lacks the services that only others look at.

    Each is a Python process, and Ray waits for the first of them at its start and at its end.
    """
    node: Any = import_module("ray._private.node").Node
    with _patched:
        plain = {name: getattr(node, name) for name in UNUSED}
        for name in UNUSED:
            setattr(node, name, lambda self, **options: None)
        try:
            yield
        finally:
            for name, start in plain.items():
                setattr(node, name, start)


# of `ray.init`
LOOPBACK: dict[str, Any] = {"_node_ip_address": "127.0.0.1"}


@contextmanager
def losses_are_deaths() -> Iterator[None]:
    """While it is entered, Tune takes every loss of a worker for the death of its trial's actor.

    Tune knows `RayActorError` and `RayTaskError`. It ends the experiment at all others, such as `OutOfMemoryError` of
    a worker that the memory monitor killed, `ObjectLostError` and `OwnerDiedError`.
    """
    from ray.exceptions import RayActorError, RayError, RayTaskError

    manager: Any = import_module("ray.air.execution._internal.actor_manager").RayActorManager
    plain = manager._actor_task_failed

    def failed(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
            exception = RayActorError(error_msg=f"{type(exception).__name__}: {exception}")
        plain(self, tracked_actor_task, exception)

    manager._actor_task_failed = failed
    try:
        yield
    finally:
        manager._actor_task_failed = plain


def forget_placement_groups() -> None:
    """From now on Tune leaves its placement groups as they are: where Ray is lost, it would wait a minute for each."""
    # Tune knows the function by both names
    for name in ("ray.air.execution.resources.placement_group", "ray.util"):
        module: Any = import_module(name)
        module.remove_placement_group = lambda group: None


SHARED_MEMORY = Path("/dev/shm")
# bytes at most, of Linux (unix(7)) without the closing zero
SOCKET_PATH = 107
SOCKET_BELOW_TMP = len("/ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")


def find_room_for_sockets() -> None:
    """Ray's sockets stand below its temporary folder, whose path may be too long for a socket. Raises `InputError`.

    Ray takes TMPDIR also where nobody may write into it, and Python the next folder that it can write into.
    """
    chosen = os.environ.get("RAY_TMPDIR")
    folder = chosen or tempfile.gettempdir()
    if len(os.fsencode(folder)) + SOCKET_BELOW_TMP <= SOCKET_PATH:
        if not chosen and os.environ.get("TMPDIR", folder) != folder:
            os.environ["RAY_TMPDIR"] = folder
        return
    if not os.access("/tmp", os.W_OK):
        raise InputError(f"the path of {folder} is too long for Ray's sockets: set RAY_TMPDIR to a shorter folder")
    os.environ["RAY_TMPDIR"] = "/tmp"


def object_store_options() -> dict[str, str]:
    """Return the options of `ray.init` by which Ray's object store gets a place where /dev/shm cannot be written.

    Without them its raylet ends at once, and the start is taken for one that a busy machine made slow.
    """
    if not SHARED_MEMORY.is_dir() or os.access(SHARED_MEMORY, os.W_OK | os.X_OK):
        return {}
    return {"_plasma_directory": tempfile.gettempdir()}


def find_room_for_token() -> None:
    """Ray keeps the token of its authentication in the home folder; without one that can be written, we hand it on."""
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ) or os.environ.get("RAY_AUTH_MODE") == "disabled":
        return
    try:
        folder = Path.home() / ".ray"
        usable = (folder / "auth_token").is_file() or os.access(folder if folder.is_dir() else folder.parent, os.W_OK)
    # no HOME, and a user that the system does not know
    except RuntimeError:
        usable = False
    if not usable:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(16)


def dashboard_url() -> str:
    """Return HOST:PORT of the dashboard of the cluster that we have joined, "" where it has none.

    Only `ray.init` returns it, which would take our signals away.
    """
    worker: Any = import_module("ray._private.worker")
    return str(worker._global_node.webui_url or "")


def temporary_folder() -> str:
    """Return the folder of Ray's session and spilled objects, the same path on every node of the joined cluster."""
    worker: Any = import_module("ray._private.worker")
    return str(worker._global_node.get_temp_dir_path())


def auth_mode() -> str:
    """Return how the Ray of this process authenticates: `token` or `disabled`."""
    try:
        raylet: Any = import_module("ray._raylet")
        return "token" if raylet.get_authentication_mode() == raylet.AuthenticationMode.TOKEN else "disabled"
    # Ray's workers inherit the setting
    except (ImportError, AttributeError):
        return os.environ.get("RAY_AUTH_MODE", "disabled")


def validate_cluster_file(content: Mapping[str, Any]) -> None:
    """Raises what `ray up` would, of many kinds and SystemExit among them, for a cluster file that it refuses."""
    util: Any = import_module("ray.autoscaler._private.util")
    util.validate_config(util.prepare_config(deepcopy(dict(content))))


def memory_in_use() -> tuple[int, int]:
    """Return (used, total) bytes of this machine's memory as Ray's memory monitor counts them, or of our cgroup's."""
    private, common = import_module("ray._private.utils"), import_module("ray._common.utils")
    return int(private.get_used_memory()), int(common.get_system_memory())


def keep_token_private() -> None:
    """Make Ray's token readable by its owner alone; Ray writes it readable by all."""
    # no home, and so no file
    with suppress(RuntimeError):
        token = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
        if token.is_file() and token.stat().st_mode & 0o077:
            token.chmod(0o600)


# a busy machine may be too slow for Ray's own limit of 30 s
STARTS = 2


def start_patiently(start: Callable[[], object]) -> None:
    """Start a Ray of this machine; where that fails, once more. Raises `InputError`."""
    for attempt in range(STARTS):
        try:
            start()
            return
        # Ray raises many kinds here, `Exception` itself for a start that takes too long
        except Exception as error:
            import_module("ray").shutdown()
            if attempt + 1 == STARTS:
                raise InputError(f"Ray cannot be started on this machine: {_advice(error)}") from error


def _advice(error: Exception) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, PermissionError):
        return f"{text}; set RAY_TMPDIR to a folder that you may write into"
    slow = "the machine may be too busy: try again, or leave it to fewer programs"
    return f"{text.rstrip('.')}; {slow}" if "timed out" in text else text


def close_replica_port() -> None:
    """Let a replica of Ray Serve listen nowhere. To be called in its constructor.

    Each opens a port on all addresses, without a token, and unpickles what comes: whoever reaches it runs code there.
    It is for calls between deployments by gRPC, which Ray makes only where an environment variable asks for it.
    """
    constants: Any = import_module("ray.serve._private.constants")
    if not (constants.RAY_SERVE_USE_GRPC_BY_DEFAULT or constants.RAY_SERVE_PROXY_USE_GRPC):
        replica: Any = import_module("ray.serve._private.replica")
        replica.add_port_to_grpc_server = lambda server, address: 0

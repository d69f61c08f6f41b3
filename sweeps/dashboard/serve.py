"""Starts the server of the live page, and says where it is reached."""

from __future__ import annotations

import os
import socket
import sys
import threading
import webbrowser
from pathlib import Path
from urllib.parse import urlencode

from analysis.terminal.plain_text import visible
from analysis.web_requests import is_loopback
from trainables.errors import InputError

try:
    import uvicorn

    from sweeps.dashboard.access import TOKEN, find_token
    from sweeps.dashboard.app import Page, make_app
    from sweeps.dashboard.assets import plotly_script
    from sweeps.dashboard.beside_run import end_with_parent
except ModuleNotFoundError as missing:
    name = str(missing.name)
    if name.split(".")[0] not in ("uvicorn", "starlette"):
        raise
    raise InputError(f"the dashboard needs {name}: pip install 'medsweeps[dashboard]'") from None
from sweeps.dashboard.results import Results

# a sweep beside it goes first
NICE = 5


def serve(results: str, host: str, port: int, token_file: Path | None, open_page: bool, control: bool) -> None:
    """Serve until Ctrl-C. Raises `InputError` for a place without runs, a port in use, or a host without a token."""
    plotly_script()
    local = is_loopback(host)
    token = find_token(token_file)
    if not local and not token:
        raise InputError(f"--host {host} lets others in: set {TOKEN}, or name a --token-file")
    page = Page(Results(results), control)
    listener = _listen(host, port)
    os.nice(NICE)
    end_with_parent()
    url = f"http://{_shown(host)}:{listener.getsockname()[1]}/"
    # a token is not printed: it stands in its file, or the environment has it
    hint = f" with ?token= and the token of {token_file or TOKEN}" if token else ""
    print(visible(f"dashboard of {results}: {url}{hint}  (Ctrl-C ends it, and no run)"), flush=True)
    threading.Thread(target=page.results.read_ahead, daemon=True).start()
    if open_page:
        query = f"?{urlencode({'token': token})}" if token else ""
        threading.Thread(target=webbrowser.open, args=(url + query,), daemon=True).start()
    config = uvicorn.Config(
        make_app(page, token), log_level="warning", access_log=False, server_header=False, proxy_headers=False,
        lifespan="off", timeout_graceful_shutdown=1, ws="none",
    )  # fmt: skip
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        page.computed.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), port))
        # whoever reads the address may connect at once
        listener.listen(128)
    except OSError as error:
        listener.close()
        why = error.strerror or str(error)
        raise InputError(f"{host}:{port} cannot be listened on ({why}): choose another --port or --host") from None
    return listener


def _shown(host: str) -> str:
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host
    return f"[{name}]" if ":" in name else name

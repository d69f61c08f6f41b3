"""Checks of the hosts of a local cluster file: reached by ssh, with what `ray up` needs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cluster.checks.findings import Finding, fail, ok, warn

# One line a fact, so that one connection answers all; `bash -lc` because Ray's commands run in a login shell
QUESTION = "echo user=$(id -un); command -v rsync >/dev/null && echo rsync; command -v curl >/dev/null && echo curl"


def check_hosts(content: Mapping[str, Any], timeout: float) -> Iterator[Finding]:
    """Yield findings about each host of a file with the `local` provider; none for clouds. timeout: seconds a host."""
    provider, auth = content["provider"], content.get("auth") or {}
    if provider.get("type") != "local" or "head_ip" not in provider:
        return
    for program in ("ssh", "rsync"):
        if shutil.which(program) is None:
            yield fail("ssh", f"{program} is not installed here", f"apt-get install {program}", "here")
            return
    head = provider.get("external_head_ip") or provider["head_ip"]
    for host in (head, *(provider.get("worker_ips") or [])):
        yield from _check_host(str(host), auth, timeout)


def _check_host(host: str, auth: Mapping[str, Any], timeout: float) -> Iterator[Finding]:
    command = ssh_command(host, auth, timeout)
    try:
        done = subprocess.run([*command, QUESTION], capture_output=True, text=True, timeout=timeout + 5)
    except subprocess.TimeoutExpired:
        yield fail("ssh", f"no answer in {timeout:g} s", f"try: {' '.join(command)}", host)
        return
    if done.returncode == 255:
        lines = done.stderr.strip().splitlines() or ["refused"]
        yield fail("ssh", lines[-1], f"try: {' '.join(command)}; ssh-copy-id brings your key there", host)
        return
    answers = done.stdout.split()
    yield ok("ssh", f"reached as {next((a[5:] for a in answers if a.startswith('user=')), '?')}", host)
    if "rsync" not in answers:
        yield fail("ssh", "rsync is not installed there", "apt-get install rsync", host)
    if "curl" not in answers:
        yield warn("ssh", "curl is not installed there", "apt-get install curl, or install uv by hand", host)


def ssh_command(host: str, auth: Mapping[str, Any], timeout: float) -> list[str]:
    """Return the ssh command of `ray up`, but one that asks for no password and ends after `timeout` seconds."""
    options = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    options += ["-o", "LogLevel=ERROR", "-o", f"ConnectTimeout={max(1, round(timeout))}"]
    if key := auth.get("ssh_private_key"):
        options += ["-o", "IdentitiesOnly=yes", "-i", str(Path(key).expanduser())]
    user = auth.get("ssh_user")
    return ["ssh", *options, f"{user}@{host}" if user else host]

"""Hosts on this machine, as root: each with a network, processes, sshd, HOME, /tmp/ray and /dev/shm of its own.

All live in namespaces of one process, and end with it; the machine's own network and Ray are not touched.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import psutil

from tests.conftest import ROOT

PROGRAMS = ("ip", "unshare", "nsenter", "setpriv", "sshd", "ssh", "ssh-keygen", "rsync")
USER, HOME = "ubuntu", "/home/ubuntu"
NETWORK = "10.77.0"
SECONDS = 60
# The process that all else lives in: a network of its own, with a bridge
SWITCH = "ip link set lo up && ip link add switch type bridge && ip link set switch up && exec sleep infinity"
HOST = """
set -e
for own in /dev/shm /run /tmp/ray $HIDDEN; do mkdir -p $own; mount -t tmpfs none $own; done
mkdir /run/sshd
mount --bind $FOLDER/home /home
for file in passwd hosts; do mount --bind $FOLDER/$file /etc/$file; done
mount --bind $FOLDER/cpus /sys/devices/system/cpu/online
hostname $NAME
exec $(command -v sshd) -D -e -f $FOLDER/sshd_config
"""
SSHD = """
HostKey {0}/host_key
AuthorizedKeysFile {0}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
SetEnv SWEEPS_VENV={1} SWEEPS_INSTALL=no RAY_USE_MULTIPROCESSING_CPU_COUNT=1
"""


def reason_not() -> str:
    """Why there can be no hosts here; "" where there can."""
    if os.name != "posix" or os.geteuid():
        return "hosts in namespaces need root"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"hosts in namespaces need {', '.join(missing)}"
    tried = subprocess.run([*_namespaces(), "ip", "link", "add", "switch", "type", "bridge"], capture_output=True)
    return "namespaces with a bridge cannot be made here" if tried.returncode else ""


def _namespaces(*more: str) -> list[str]:
    return ["unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc", *more]


@dataclass
class Host:
    """One of the hosts. pid: of its first process; when that is killed, all its processes are."""

    name: str
    address: str
    pid: int

    def command(self, line: str, **environment: str) -> list[str]:
        """The words that run a shell's line here."""
        settings = {"HOME": HOME, "USER": USER, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        settings |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "TERM": "xterm", **environment}
        words = ["env", "-i", *(f"{name}={value}" for name, value in settings.items()), "bash", "-c", line]
        return ["nsenter", f"--target={self.pid}", "--all", f"--wd={ROOT}", *words]

    def start(self, line: str, **environment: str) -> subprocess.Popen[str]:
        out = subprocess.PIPE
        return subprocess.Popen(self.command(line, **environment), stdout=out, stderr=subprocess.STDOUT, text=True)

    def run(self, line: str, seconds: float = 240, **environment: str) -> str:
        """What a shell's line prints here. It must succeed."""
        process = self.start(line, **environment)
        try:
            out, _ = process.communicate(timeout=seconds)
        finally:
            process.kill()
        assert process.returncode == 0, f"{line}\n{out}"
        return out


class Lab:
    """A bridge and hosts on it. hidden: a folder that only hosts that are told so do not see."""

    def __init__(self, hidden: Path) -> None:
        self.folder = Path(mkdtemp(prefix="lab", dir="/tmp"))
        self.hidden = hidden
        self.hosts: dict[str, Host] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        command = ["setpriv", "--pdeathsig", "KILL", *_namespaces("bash", "-ec", SWITCH)]
        self.process = subprocess.Popen(command)
        self.pid = _first_process(self.process)
        _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / "key")])

    def host(self, name: str, *, hides: bool = False) -> Host:
        """Start a host, or start it again after it was killed: its HOME is still there. hides: the hidden folder."""
        number = list(self.hosts).index(name) if name in self.hosts else len(self.hosts)
        address = f"{NETWORK}.{10 + number}"
        folder = self._files(name, address)
        environment = {**os.environ, "NAME": name, "FOLDER": str(folder), "HIDDEN": str(self.hidden) if hides else ""}
        with (folder / "sshd.log").open("a") as log:
            inside = ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid"]
            command = [*inside, *_namespaces("--uts", "--ipc"), "bash", "-c", HOST]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.processes[name] = process
        pid = _first_process(process)
        self.ip(f"link add {name} type veth peer name eth0 netns {pid}")
        self.ip(f"link set {name} master switch up")
        for words in ("link set lo up", f"addr add {address}/24 dev eth0", "link set eth0 up"):
            _run(["nsenter", f"--target={pid}", "--net", "ip", *words.split()])
        _run(["nsenter", f"--target={pid}", "--net", "ip", "route", "add", "default", "via", f"{NETWORK}.1"])
        self.hosts[name] = Host(name, address, pid)
        return self.hosts[name]

    def _files(self, name: str, address: str) -> Path:
        folder = self.folder / name
        (folder / "home" / USER / ".ssh").mkdir(parents=True, exist_ok=True)
        users = Path("/etc/passwd").read_text()
        (folder / "cpus").write_text("0\n")  # one CPU, so that Ray gives each host one trial
        (folder / "passwd").write_text(f"{USER}:*:0:0::{HOME}:/bin/bash\n{users}")
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n{address} {name}\n")
        (folder / "authorized_keys").write_text((self.folder / "key.pub").read_text())
        (folder / "sshd_config").write_text(SSHD.format(folder, Path(sys.executable).parent.parent))
        if not (folder / "host_key").exists():
            _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host_key")])
        return folder

    def ip(self, words: str) -> None:
        """`ip` at the bridge: `link set NAME down` pulls a host's cable."""
        _run(["nsenter", f"--target={self.pid}", "--net", "ip", *shlex.split(words)])

    def raylets(self, name: str) -> int:
        """How many nodes of Ray a host runs."""
        with suppress(psutil.NoSuchProcess):  # it was killed
            family = psutil.Process(self.hosts[name].pid).children(recursive=True)
            return sum(process.name() == "raylet" for process in family)
        return 0

    def kill(self, name: str) -> None:
        """Cut a host's power: its network is gone, so that no goodbye gets out, then all its processes."""
        self.ip(f"link del {name}")
        psutil.Process(self.hosts[name].pid).kill()
        self.processes.pop(name).wait(timeout=SECONDS)

    def end(self) -> None:
        for process in (self.process, *self.processes.values()):
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def lab(hidden: Path) -> Iterator[Lab]:
    """Hosts, all of which are gone at the end."""
    made = Lab(hidden)
    try:
        yield made
    finally:
        made.end()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"


def _first_process(process: subprocess.Popen[bytes]) -> int:
    """The pid of the first process in the namespaces that a process has made, once it is in them."""
    deadline = time.monotonic() + SECONDS
    while True:
        assert process.poll() is None, f"{process.args} ended with {process.returncode}"
        assert time.monotonic() < deadline
        found = psutil.Process(process.pid).children(recursive=True)
        for child in found:
            if _is_first(child.pid) and child.name() in ("sleep", "sshd"):
                return child.pid
        time.sleep(0.02)  # between two looks


def _is_first(pid: int) -> bool:
    """Whether a process is number 1 of its namespace."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return any(line.startswith("NSpid:") and line.split()[-1] == "1" for line in status.splitlines())

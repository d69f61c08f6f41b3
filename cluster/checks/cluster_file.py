"""Is a Ray cluster file right? Ray's own checks, then ours where Ray does not look before money is spent."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from analysis.parallel.ray_private import validate_cluster_file
from analysis.terminal.text_files import read_yaml
from cluster.checks.findings import Finding, fail, ok, warn
from cluster.checks.node_facts import token_problem
from cluster.checks.provider_settings import check_provider
from trainables.errors import InputError

TOKEN = "~/.ray/auth_token"
MUST_NOT_TRAVEL = (".git", ".venv", "/results", "/data")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MANY_WORKERS = 16
CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"


def read_cluster_file(path: Path) -> dict[str, Any]:
    """Return the content of a cluster file. Raises `InputError` where it is no YAML mapping."""
    content = read_yaml(path, "name a file such as cluster/cluster.yaml")
    if not isinstance(content, dict) or not isinstance(content.get("provider"), dict):
        raise InputError(f"{path} is no Ray cluster file: it has no `provider`; see cluster/cluster.yaml")
    return content


def check_cluster_file(content: Mapping[str, Any], base: Path, name: str = "") -> list[Finding]:
    """Return all findings about a cluster file's content.

    base: the folder that relative paths in it are read from, as Ray does: the current one, not the file's.
    """
    findings = [
        *_ray_says(content),
        *_mounts(content, base),
        *_token(content),
        *_excluded(content, base),
        *_start_commands(content),
        *_versions(content),
        *_bounds(content),
        *check_provider(content),
    ]
    return [Finding(f.level, f.subject, f.text, f.fix, name) for f in findings]


def _ray_says(content: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        validate_cluster_file(content)
    except (Exception, SystemExit) as error:
        # Ray raises many kinds here, its abort() among them
        message = str(getattr(error, "message", "") or error or type(error).__name__).splitlines()[0]
        yield fail("structure", f"Ray refuses the file: {message}", "compare it with cluster/cluster.yaml")
    else:
        yield ok("structure", "Ray accepts the file")


def _mounts(content: Mapping[str, Any], base: Path) -> Iterator[Finding]:
    mounts = content.get("file_mounts") or {}
    for remote, local in mounts.items():
        path = base / Path(str(local)).expanduser()
        if not path.exists() and remote != TOKEN:
            fix = "run from the repository's root or from cluster/ (a checkout without links: from the root alone)"
            yield fail("file_mounts", f"{local} (for {remote}) does not exist below {base}", fix)
    code = [remote for remote, local in mounts.items() if _is_our_code(base / Path(str(local)).expanduser())]
    if code:
        yield ok("file_mounts", f"the code goes to {code[0]}")
    else:
        yield fail(
            "file_mounts", "no mount holds our code", 'add "~/sweeps": docs/.. and run from the root or cluster/'
        )


def _is_our_code(path: Path) -> bool:
    return (path / "pyproject.toml").is_file() and (path / "trainables").is_dir()


def _token(content: Mapping[str, Any]) -> Iterator[Finding]:
    source = (content.get("file_mounts") or {}).get(TOKEN)
    if source is None:
        yield fail("token", "the token is not copied to the nodes", f'add "{TOKEN}": {TOKEN} to file_mounts')
        return
    problem = token_problem(Path(source).expanduser())
    if problem:
        yield fail("token", *problem)
    else:
        yield ok("token", f"{source} is there, is private, and is copied")


def _excluded(content: Mapping[str, Any], base: Path) -> Iterator[Finding]:
    patterns = content.get("rsync_exclude") or []
    missing = [name for name in MUST_NOT_TRAVEL if name not in patterns and name.lstrip("/") not in patterns]
    mounts = [base / Path(str(local)).expanduser() for local in (content.get("file_mounts") or {}).values()]
    lost = [path for folder in mounts if _is_our_code(folder) for path in _left_out(folder, patterns)]
    if missing:
        fix = f"add {', '.join(missing)} to rsync_exclude"
        yield warn("rsync_exclude", f"{', '.join(missing)} would travel to every node", fix)
    if lost:
        fix = 'begin the pattern with a slash, as "/data": then it means the repository\'s own folder alone'
        yield fail("rsync_exclude", f"{lost[0]} and {len(lost) - 1} more files of our code would stay behind", fix)
    if not missing and not lost:
        yield ok("rsync_exclude", "data, results, environments and history stay at home")


def _left_out(code: Path, patterns: Sequence[str]) -> list[Path]:
    """Return files of our code that rsync would leave out: a pattern without a slash means a name at any depth."""
    files = (path.relative_to(code) for package in ("trainables", "sweeps") for path in (code / package).rglob("*.py"))
    anywhere = [pattern for pattern in patterns if "/" not in pattern]
    return sorted(path for path in files if any(fnmatch(part, name) for part in path.parts for name in anywhere))


def _start_commands(content: Mapping[str, Any]) -> Iterator[Finding]:
    for role, wanted in (("head", "--head"), ("worker", "--address")):
        command = ray_start(content.get(f"{role}_start_ray_commands") or [])
        if command is None:
            yield fail("ray start", f"the {role} has no `ray start`", f"give {role}_start_ray_commands one")
            continue
        settings, options = command
        if wanted not in options:
            yield fail("ray start", f"the {role}'s `ray start` has no {wanted}", f"add {wanted}")
        if settings.get("RAY_AUTH_MODE") != "token":
            fix = f"put RAY_AUTH_MODE=token before its `ray start`: without it anyone in reach may use the {role}"
            yield fail("authentication", f"the {role} starts without a token", fix)
        if role == "head":
            yield from _head_options(settings, options)


def _head_options(settings: Mapping[str, str], options: Mapping[str, str]) -> Iterator[Finding]:
    host = options.get("--dashboard-host", "127.0.0.1")
    if host in LOOPBACK:
        yield ok("dashboard", "listens on loopback: reach it with `ray dashboard`")
    else:
        fix = "use --dashboard-host=127.0.0.1 and `ray dashboard` (a tunnel)"
        yield fail("dashboard", f"would listen on {host}: whoever reaches it can run code", fix)
    if "--autoscaling-config" not in options:
        fix = "add --autoscaling-config=~/ray_bootstrap_config.yaml to the head's `ray start`"
        yield fail("ray start", "the head would never start a worker", fix)
    wait = settings.get("RAY_JOB_STOP_WAIT_TIME_S", "3")
    if settings.get("RAY_JOB_STOP_SIGNAL") != "SIGINT" or not wait.isdigit() or int(wait) < 30:
        fix = "put RAY_JOB_STOP_SIGNAL=SIGINT RAY_JOB_STOP_WAIT_TIME_S=120 before the head's `ray start`"
        yield warn("stop", "a stopped job is killed before it has saved its tables", fix)
    else:
        yield ok("stop", f"a stopped job gets SIGINT and {wait} s to save")


def ray_start(commands: list[str]) -> tuple[dict[str, str], dict[str, str]] | None:
    """Return (environment, options) of the `ray start` among shell commands; None where there is none."""
    exported: dict[str, str] = {}
    for part in re.split(r"[;&\n]+", " ; ".join(commands)):
        words = shlex.split(part.replace("$", r"\$"))
        assigned = {}
        while words and (words[0] == "export" or re.fullmatch(r"\w+=.*", words[0])):
            name, _, value = words.pop(0).partition("=")
            assigned[name] = value
        if "export" in assigned:
            exported |= assigned
        if words[:2] == ["ray", "start"]:
            return exported | assigned, _options(words[2:])
    return None


def _options(words: list[str]) -> dict[str, str]:
    found = {}
    for position, word in enumerate(words):
        if word.startswith("--"):
            name, separator, value = word.partition("=")
            following = words[position + 1] if position + 1 < len(words) else "--"
            found[name] = value if separator else ("" if following.startswith("--") else following)
    return found


def _versions(content: Mapping[str, Any]) -> Iterator[Finding]:
    import ray

    if not any("setup_node.sh" in command for command in content.get("setup_commands") or []):
        fix = "use `bash ~/sweeps/cluster/setup_node.sh`, or an image with the versions of cluster/constraints.txt"
        yield warn("versions", "the nodes are not set up by setup_node.sh: their versions are not pinned here", fix)
        return
    pinned = pinned_versions(CONSTRAINTS.read_text())
    if pinned.get("ray") == ray.__version__:
        yield ok("versions", f"nodes get Ray {ray.__version__}, as here")
    else:
        fix = f"pip install -c cluster/constraints.txt 'ray[default]', or pin ray=={ray.__version__} there"
        yield fail("versions", f"nodes would get Ray {pinned.get('ray')}, here is {ray.__version__}", fix)


def pinned_versions(text: str) -> dict[str, str]:
    """Return package and version of every `name==version` line."""
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    return dict(line.split("==", 1) for line in lines if "==" in line)


def _bounds(content: Mapping[str, Any]) -> Iterator[Finding]:
    workers = content.get("max_workers", 2)
    if isinstance(workers, int) and workers > MANY_WORKERS:
        fix = "lower max_workers: it is your bound on the cost"
        yield warn("max_workers", f"up to {workers} workers at a time", fix)
    idle = content.get("idle_timeout_minutes", 5)
    if isinstance(idle, (int, float)) and idle > 30:
        yield warn("idle_timeout_minutes", f"idle nodes stay for {idle} minutes", "lower it: idle nodes are paid for")

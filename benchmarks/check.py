"""Check every benchmark's ratio against its bound: `python -m benchmarks --check [--out FOLDER]`.

Each benchmark runs as a process of its own, one after the other. The table goes to the terminal, and as `ratios.md` and
`ratios.parquet` into a folder, with the machine it was measured on. The exit code is 1 where a ratio breaks its bound.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import typer

from analysis.command_line import new_app, start
from trainables.errors import InputError, unknown_name

app = new_app()
# The JSON document of a benchmark.
Figures = Any


@dataclass(frozen=True)
class Ratio:
    """A number of a benchmark's figures that is to stay at or below a bound; goal: what it is meant to become."""

    name: str
    of: Callable[[Figures], float]
    bound: float
    goal: float | None = None


def _share(first: str, second: str) -> Callable[[Figures], float]:
    return lambda figures: float(figures[first]) / float(figures[second])


def _fused(case: str) -> Callable[[Figures], float]:
    return lambda figures: float(figures[case]["together"]) / float(figures[case]["one by one"])


def _seconds(first: str, second: str, unit: str = "seconds") -> Callable[[Figures], float]:
    return lambda figures: float(figures[first][unit]) / float(figures[second][unit])


def _exponent(figure: str) -> Callable[[Figures], float]:
    """Return the largest exponent of a figure's growth between two sizes."""

    def largest(figures: Figures) -> float:
        pairs = pairwise(sorted(map(int, figures)))
        return max(
            math.log(figures[str(large)][figure] / figures[str(small)][figure]) / math.log(large / small)
            for small, large in pairs
        )

    return largest


@dataclass(frozen=True)
class Check:
    """A run of a benchmark with its options, and its ratios.

    smallest: options of its smallest size; None: it has none. reads_data: it takes `--data-root`.
    """

    benchmark: str
    options: tuple[str, ...]
    ratios: tuple[Ratio, ...]
    smallest: tuple[str, ...] | None
    reads_data: bool = False


EPOCH = "seconds an epoch of a trial"
CHECKS = (
    Check(
        "bootstrap",
        (),
        (Ratio("ours / scikit-learn", _share("ours", "scikit-learn"), 0.2),),
        ("--images", "200", "--draws", "10", "--beside", "1"),
    ),
    Check(
        "data",
        ("--repeats", "5", "--workers", "2", "--images", "8100"),
        (
            Ratio(
                "no augmentation: ours / DataLoader",
                lambda f: _seconds("ours, none", "medmnist DataLoader, no augmentation", "cpu")(f["epoch_ms"]),
                0.2,
            ),
        ),
        ("--repeats", "1", "--workers", "2", "--images", "2600"),
        reads_data=True,
    ),
    Check(
        "epoch",
        ("--epochs", "2"),
        (
            Ratio("float32 / official loop", _share("ours, float32", "official loop"), 1.1, 0.6),
            Ratio("bfloat16 / official loop", _share("ours, bfloat16", "official loop"), 1.0),
        ),
        ("--epochs", "1", "--images", "16"),
        reads_data=True,
    ),
    Check(
        "fused",
        # without the last case, whose ratio is none of these
        ("--cases", "5"),
        tuple(
            Ratio(f"{case}: together / one by one", _fused(case), bound, goal)
            for case, bound, goal in (
                ("cnn 8x8, 3 replicates", 0.95, 0.43),
                ("cnn 8x8, 8 replicates", 0.95, 0.33),
                ("mlp 28x28, 3 replicates", 1.2, 0.61),
                ("mlp 28x28, 16 replicates", 1.4, 0.42),
            )
        ),
        ("--images", "64", "--batch", "32", "--repeats", "1"),
    ),
    Check(
        "growth",
        ("--trials", "100,1000", "--epochs", "3", "--seeds", "1", "--no-commands"),
        tuple(Ratio(f"{name}: exponent", _exponent(name), 1.2) for name in ("plan", "read the ledger", "tables")),
        ("--trials", "4,8", "--epochs", "2", "--seeds", "1", "--no-commands"),
    ),
    Check(
        "orchestration",
        ("--grid", "quick", "--only", "floor+sweep+sweep, measured+sweep, asha+optuna"),
        (
            Ratio("quick start: sweep / floor", _seconds("sweep", "floor"), 2.0, 0.6),
            Ratio("quick start: measured / floor", _seconds("sweep, measured", "floor"), 2.3, 1.15),
            Ratio("quick start: ASHA / Optuna, an epoch", _seconds("sweep, asha", "optuna", EPOCH), 2.1, 1.0),
            Ratio("quick start: ASHA / Optuna, in all", _seconds("sweep, asha", "optuna"), 2.6, 1.0),
        ),
        ("--grid", "smallest", "--only", "floor+sweep+sweep, measured+sweep, asha+optuna"),
    ),
    Check(
        "orchestration",
        ("--only", "floor+sweep+sweep, measured+textbook"),
        (
            Ratio("PneumoniaMNIST: sweep / floor", _seconds("sweep", "floor"), 1.3, 1.05),
            Ratio("PneumoniaMNIST: measured / floor", _seconds("sweep, measured", "floor"), 1.5, 1.15),
            Ratio("PneumoniaMNIST: sweep / textbook", _seconds("sweep", "textbook"), 0.8),
        ),
        None,
        reads_data=True,
    ),
    Check(
        "sample_entropy",
        ("--sizes", "1000,10000"),
        (Ratio("ours / antropy, at most", lambda f: max(1 / each["ratio"] for each in f), 1.0),),
        ("--sizes", "50,100"),
    ),
)  # fmt: skip


@app.command()
def check(
    out: Annotated[Path, typer.Option(help="folder of ratios.md and ratios.parquet")] = Path("ratios"),
    only: Annotated[str, typer.Option(help="comma-separated names of benchmarks")] = "",
    data_root: Annotated[Path | None, typer.Option(help="folder of the data files")] = None,
    page: Annotated[Path | None, typer.Option(help="page that gets the table, between its two marks")] = None,
    smallest: Annotated[bool, typer.Option(help="at sizes that say nothing, to see that each runs")] = False,
) -> None:
    """Run the benchmarks and hold their ratios against the bounds."""
    known = list(dict.fromkeys(each.benchmark for each in CHECKS))
    chosen = only.split(",") if only else known
    for name in chosen:
        if name not in known:
            raise InputError(unknown_name("benchmark", name, known))
    checks = [each for each in CHECKS if each.benchmark in chosen]
    if smallest:
        checks = [replace(each, options=each.smallest) for each in checks if each.smallest is not None]
    if page:
        # a page without marks is refused before the hour that the benchmarks take
        put_into(page, "")
    rows = [row for each in checks for row in _rows(each, data_root)]
    facts = machine()
    out.mkdir(parents=True, exist_ok=True)
    text = markdown(rows, facts)
    (out / "ratios.md").write_text(text)
    columns = pa.Table.from_pylist(rows)
    pq.write_table(columns.replace_schema_metadata({"machine": json.dumps(facts)}), out / "ratios.parquet")
    if page:
        put_into(page, text)
    print(text)
    if not all(row["kept"] for row in rows):
        raise typer.Exit(1)


MARKS = "<!-- ratios begin -->", "<!-- ratios end -->"


def put_into(page: Path, text: str) -> None:
    """Replace what stands between a page's two marks. Raises `InputError` where it has none."""
    old = page.read_text() if page.is_file() else ""
    if any(old.count(mark) != 1 for mark in MARKS):
        raise InputError(f"{page} lacks a line {MARKS[0]} and a line {MARKS[1]}: give it both, or leave out --page")
    before, rest = old.split(MARKS[0])
    page.write_text(f"{before}{MARKS[0]}\n{text}{MARKS[1]}{rest.split(MARKS[1])[1]}")


def _rows(each: Check, data_root: Path | None) -> list[dict[str, Any]]:
    options = [*each.options, *(["--data-root", str(data_root)] if data_root and each.reads_data else [])]
    print(f"{each.benchmark} {' '.join(options)}", file=sys.stderr)
    figures = figures_of(each.benchmark, options)
    return [row_of(each, ratio, ratio.of(figures)) for ratio in each.ratios]


def figures_of(benchmark: str, options: Sequence[str]) -> Any:
    """Run a benchmark in a process of its own. Raises `InputError` where it fails."""
    command = [sys.executable, "-m", "benchmarks", benchmark, *options, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise InputError(f"{benchmark} ended with {done.returncode}: run python -m benchmarks {benchmark}")
    return json.loads(done.stdout)


def row_of(each: Check, ratio: Ratio, value: float) -> dict[str, Any]:
    """Return a row of the table: a ratio beside its bound and its goal."""
    return {
        "benchmark": each.benchmark, "options": " ".join(each.options), "ratio": ratio.name, "value": value,
        "bound": ratio.bound, "goal": ratio.goal, "kept": value <= ratio.bound,
        "reached": None if ratio.goal is None else value <= ratio.goal,
    }  # fmt: skip


def machine() -> dict[str, Any]:
    """Describe the machine and its versions."""
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"), "system": platform.platform(terse=True),
        "processor": _processor(), "cores": os.cpu_count(), "memory GiB": round(psutil.virtual_memory().total / 2**30),
        "load": round(os.getloadavg()[0], 1), "GPU": gpu, "Python": platform.python_version(),
        "torch": torch.__version__,
    }  # fmt: skip


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def markdown(rows: list[dict[str, Any]], facts: Mapping[str, Any]) -> str:
    """Return the table of ratios, below a line that describes the machine."""
    lines = ["; ".join(f"{name}: {value}" for name, value in facts.items()), ""]
    lines += ["| benchmark | ratio | value | bound | goal | |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        goal = "" if row["goal"] is None else f"{row['goal']:.2f}"
        kept = "broken" if not row["kept"] else "" if row["reached"] is None else "met" if row["reached"] else "not met"
        lines.append(
            f"| {row['benchmark']} | {row['ratio']} | {row['value']:.2f} | {row['bound']:.2f} | {goal} | {kept} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    start(app)

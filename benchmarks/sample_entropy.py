"""Measure exact Sample Entropy beside antropy: CPU seconds of both, in one run, on the same values.

python -m benchmarks.sample_entropy
python -m benchmarks.sample_entropy --sizes 2359296 --kind zeros
python -m benchmarks.sample_entropy --resnet18
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from analysis.command_line import new_app, start
from analysis.measures.sample_entropy import sample_entropy

# channels into and out of the stages of ResNet-18
STAGES = ((64, 64), (64, 128), (128, 256), (256, 512))
KINDS = ("normal", "zeros", "int8", "cauchy", "ramp")

app = new_app()


@dataclass(frozen=True, slots=True)
class Timing:
    """CPU and wall-clock seconds of exact Sample Entropy, and the CPU seconds of antropy where it was run."""

    tensors: int
    values: int
    kind: str
    cpu: float
    wall: float
    antropy: float | None

    @property
    def ratio(self) -> float | None:
        """Return CPU seconds of antropy for one of ours."""
        return None if self.antropy is None else self.antropy / self.cpu


def resnet18_sizes() -> list[int]:
    """Return the values in each of the 62 weight tensors of ResNet-18 for 1,000 classes: 11,689,512 in all."""
    sizes = [3 * 64 * 49, 64, 64]
    for before, after in STAGES:
        sizes += [before * after * 9, after, after]
        sizes += [after * after * 9, after, after] * 3
        sizes += [before * after, after, after] if before != after else []
    return [*sizes, 512 * 1000, 1000]


def series(kind: str, n: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Draw `n` values of a kind; of a seed always the same."""
    rng = np.random.default_rng(seed)
    draws: dict[str, Callable[[], Any]] = {
        "normal": lambda: rng.standard_normal(n),
        "zeros": lambda: np.where(rng.random(n) < 0.9, 0.0, rng.standard_normal(n)),
        "int8": lambda: np.round(rng.standard_normal(n) * 30.0),
        "cauchy": lambda: rng.standard_cauchy(n),
        "ramp": lambda: np.arange(n, dtype=np.float64),
    }
    return np.asarray(draws[kind]())


def seconds(function: Callable[[Any], float], arrays: list[Any]) -> tuple[float, float]:
    """Return CPU and wall-clock seconds of a function over all arrays, the better of two goes."""
    goes = []
    for _ in range(2):
        cpu, wall = time.process_time(), time.perf_counter()
        for array in arrays:
            function(array)
        goes.append((time.process_time() - cpu, time.perf_counter() - wall))
    return min(goes)


def measure(sizes: list[int], kind: str, beside: Callable[[Any], float] | None) -> Timing:
    """Time exact Sample Entropy of arrays of these sizes, and `beside` where it is given."""
    arrays = [series(kind, n, seed) for seed, n in enumerate(sizes)]
    cpu, wall = seconds(sample_entropy, arrays)
    other = seconds(beside, arrays)[0] if beside else None
    return Timing(len(sizes), sum(sizes), kind, cpu, wall, other)


def compiled_antropy() -> Callable[[Any], float] | None:
    """Return antropy's function, compiled; None where antropy is not installed."""
    try:
        from antropy import sample_entropy
    except ImportError:
        typer.echo("antropy is not installed: pip install antropy", err=True)
        return None
    # it takes another way from 5,000 values on
    for n in (1000, 6000):
        sample_entropy(series("normal", n))
    compiled: Callable[[Any], float] = sample_entropy
    return compiled


def show(timings: list[Timing]) -> None:
    """Print a table of timings."""
    table = Table("tensors", "values", "kind", "CPU s", "wall s", "antropy CPU s", "antropy / ours")
    for t in timings:
        numbers = [f"{t.cpu:.4f}", f"{t.wall:.4f}"]
        other = [f"{t.antropy:.3f}", f"{t.ratio:.0f}"] if t.antropy is not None else ["", ""]
        table.add_row(str(t.tensors), f"{t.values:,}", t.kind, *numbers, *other)
    Console().print(table)


@app.command()
def main(
    sizes: Annotated[str, typer.Option(help="Numbers of values, separated by commas.")] = "1000,10000,100000",
    kind: Annotated[str, typer.Option(help=f"What values: {', '.join(KINDS)}.")] = "normal",
    resnet18: Annotated[bool, typer.Option("--resnet18", help="All 62 tensors of ResNet-18 instead.")] = False,
    beside_up_to: Annotated[int, typer.Option(help="Run antropy too up to this many values.")] = 100_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Time exact Sample Entropy beside antropy; compiling is not counted."""
    if kind not in KINDS:
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(KINDS)}", param_hint="--kind")
    try:
        cases = [resnet18_sizes()] if resnet18 else [[int(float(size))] for size in sizes.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{sizes!r} is not a list of numbers like 1000,1e5", param_hint="--sizes") from None
    sample_entropy(series("normal", 50_000))
    antropy = compiled_antropy() if any(sum(case) <= beside_up_to for case in cases) else None
    timings = [measure(case, kind, antropy if sum(case) <= beside_up_to else None) for case in cases]
    if as_json:
        typer.echo(json.dumps([{**asdict(t), "ratio": t.ratio} for t in timings], indent=2))
    else:
        show(timings)


if __name__ == "__main__":
    start(app)

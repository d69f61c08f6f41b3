"""The report's section on the machine: how busy it was, and the energy that was measured."""

from __future__ import annotations

from analysis.comparison.compare_runs import ComparedRuns
from analysis.grids import Cell, Grid, columns_of
from analysis.page.parts import Paragraph, Section
from analysis.runs.run_folder import RunFolder
from analysis.table.hardware import Usage, read_usage
from trainables.errors import InputError


def hardware(compared: ComparedRuns) -> Section | None:
    """Tabulate what each run took of its machine; None where no run was sampled."""
    found = [(run, usage) for run in compared.everything.runs if (usage := _usage(run))]
    if not found:
        return None
    heads = ["run", "device", "hours", "busy", "memory", "GPU memory", "energy", "CO2e"]
    rows = tuple(tuple(map(Cell, (f"{run.sweep}/{run.run_id}", *_cells(usage)))) for run, usage in found)
    grid = Grid("", columns_of(heads, words=["run", "device"]), rows)
    return Section("hardware", "Hardware", (grid, Paragraph(" ".join(words(found[0][1])), "note")))


def _usage(run: RunFolder) -> Usage | None:
    try:
        return read_usage(run)
    except InputError:
        # a damaged table of samples must not cost the report
        return None


def _cells(usage: Usage) -> tuple[str, ...]:
    return (
        usage.device,
        f"{usage.seconds / 3600:.2f}",
        "-" if usage.busy is None else f"{100 * usage.busy:.0f} %",
        "-" if usage.memory_gb is None else f"{usage.memory_gb:.1f} GiB",
        "-" if usage.gpu_memory_gb is None else f"{usage.gpu_memory_gb:.1f} GiB",
        "-" if usage.kwh is None else f"{usage.kwh:.3g} kWh",
        "-" if usage.co2e_grams is None else f"{usage.co2e_grams:.3g} g",
    )


def words(usage: Usage) -> list[str]:
    """Return what the figures are, a sentence each."""
    found = ["Of the whole machine that drove the run, other programs included; memory is the most that was in use."]
    if usage.kwh is None:
        found.append("No energy: neither a GPU nor Intel RAPL let its power be read.")
        return found
    parts = {"gpu": "GPUs (NVML)", "cpu": "processors (Intel RAPL)"}
    measured = " and ".join(parts[name] for name in usage.measured)
    found.append(f"Energy is that of {measured} alone, not of the whole machine.")
    found.append(f"CO2e is an estimate at {usage.grams_per_kwh:g} g for a kWh.")
    return found

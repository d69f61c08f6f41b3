"""The settings of a run: its storage, workers, measuring and report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, field_validator, model_validator

from analysis.runs.find import new_run
from analysis.runs.run_folder import DEFAULT_STORAGE
from analysis.runs.sync import folder_of
from analysis.terminal.option_models import OptionModel, option
from sweeps.dashboard.beside_run import missing_packages
from sweeps.trackers.table import read_files, read_spec
from trainables.trainable import Fuse

DATA, RESUMING, LIMITS, ENDING = "Data and results", "Going on", "How much at a time, and until when", "What is printed"
MOST, YEARS = 1_000_000, 10 * 365 * 86400.0
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(value: Any) -> Any:
    """Read `90`, `90s`, `30m`, `2h`, `1.5h` or `1d` in seconds. Raises `ValueError`."""
    if not isinstance(value, str):
        return value
    number, unit = (value[:-1], value[-1]) if value[-1:] in UNITS else (value, "s")
    try:
        return float(number) * UNITS[unit]
    except ValueError:
        raise ValueError("write 90s, 30m, 2h or 1d") from None


class Settings(OptionModel):
    """The settings of a run; the question that it answers stands in the `Sweep`."""

    data_root: Path | None = option(None, "Folder of the data files (default: $SWEEPS_DATA_ROOT or ~/.medmnist).", DATA)
    trust: tuple[str, ...] = option(
        (), "Take a data file that is not the published one, by its name and MD5.", DATA, metavar="FILE=MD5"
    )
    storage: Path | str = option(DEFAULT_STORAGE, "Folder of the results, or a URI: s3://bucket/folder ...", DATA)
    name: str | None = option(None, "Name of the run (default: time and two words).", DATA)

    retry_failed: bool = option(False, "With --resume: failed trials, too.", RESUMING)
    reuse: bool = option(False, "Take equal finished trials from earlier runs.", RESUMING)

    max_concurrent: int | None = option(None, "Trials at a time at most.", LIMITS, ge=1, le=MOST)
    max_failures: int = option(1, "Times a failed trial is tried again.", LIMITS, ge=0, le=1000)
    max_errors: int | None = option(None, "End the run at so many failed trials.", LIMITS, ge=1, le=MOST)
    time_budget: Annotated[float | None, BeforeValidator(seconds)] = option(
        None, "End the run, to be resumed, after 90s, 30m, 2h, ...", LIMITS, metavar="TIME", gt=0, le=YEARS
    )
    fuse: Fuse = option("auto", "A trial's replicates as one network: on, off, or auto: where that is quicker.", LIMITS)
    address: str | None = option(None, "Address of a Ray cluster (default: this machine).", LIMITS)

    measure: bool = option(
        True, "Measure trained weights and draw each trial's curves.", ENDING, "--measure", "--no-measure"
    )
    report: bool = option(True, "End with report.html.", ENDING, "--report", "--no-report")
    track: tuple[str, ...] = option(
        (), "Also send the run to mlflow[=URI], wandb[=PROJECT] or FILE.py:CLASS, while it goes on.", ENDING,
        metavar="TRACKER",
    )  # fmt: skip
    track_files: str = option(
        "report,figures", "Files that trackers get: report, figures, weights; or none.", ENDING,
        metavar="KIND[,KIND...]",
    )  # fmt: skip
    dashboard: bool = option(False, "Show the run in the browser while it goes on, and print where.", ENDING)
    carbon: float | None = option(
        None, "Grams of CO2e for a kWh, to estimate the run's (default: 480, the world's mean of 2023).", ENDING,
        metavar="GRAMS", ge=0, le=5000,
    )  # fmt: skip
    notify: str | None = option(
        None, "Run a command at the end, at the first failure and at an interruption; JSON is at its stdin.", ENDING,
        metavar="COMMAND",
    )  # fmt: skip
    log_steps: bool = option(False, "Keep the loss of each step, for TensorBoard.", ENDING)
    log_histograms: int = option(
        0, "Keep histograms of weights and gradients each so many epochs.", ENDING, metavar="N", ge=0, le=MOST
    )
    verbose: bool = option(False, "Print a line for each epoch of each trial.", ENDING)
    quiet: bool = option(False, "Print the summary alone.", ENDING)

    @field_validator("trust")
    @classmethod
    def _name_and_md5(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            if not re.fullmatch(r"[^/=]+=[0-9a-f]{32}", item):
                raise ValueError("write the file's name and its MD5: NAME=32 hexadecimal digits")
        return value

    @field_validator("track")
    @classmethod
    def _known_trackers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            if value.count(item) > 1:
                raise ValueError("is given twice: leave one out")
            read_spec(item)
        return value

    @field_validator("track_files")
    @classmethod
    def _known_files(cls, value: str) -> str:
        read_files(value)
        return value

    @field_validator("dashboard")
    @classmethod
    def _has_its_packages(cls, value: bool) -> bool:
        """Refuse a dashboard whose packages are not installed."""
        if value and (missing := missing_packages()):
            raise ValueError(missing)
        return value

    @model_validator(mode="after")
    def _options_go_together(self) -> Settings:
        if self.verbose and self.quiet:
            raise ValueError("--verbose prints each epoch and --quiet the summary alone: leave one out")
        if "track_files" in self.model_fields_set and not self.track:
            raise ValueError("--track-files is for --track: add one, or leave it out")
        if self.fuse == "on" and (self.log_steps or self.log_histograms):
            raise ValueError(
                "--fuse on trains replicates as one network, whose steps are not kept: leave --log-... out"
            )
        return self

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str | None) -> str | None:
        """Refuse a run's name that no folder may have."""
        if value is not None:
            new_run(Path(), "sweep", value)
        return value

    @property
    def results(self) -> Path:
        """The folder on this machine that the driver writes to."""
        return folder_of(self.storage)

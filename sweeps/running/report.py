"""The report at the end of a run. Whatever goes wrong with it, the run and its tables are none the worse."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from trainables.errors import InputError

if TYPE_CHECKING:
    from sweeps.record.outcome import Outcome


def with_report(outcome: Outcome) -> Outcome:
    """Write `report.html` and `figures/*.svg` of a run that has ended, and say in its outcome where, or why not.

    PNGs, which take as long again, are left to `python -m analysis.report`.
    """
    if outcome.signal is not None:
        return outcome
    run = outcome.run
    try:
        from analysis.report import write_report

        page = write_report([run], run.path / "report.html", run.path / "figures", png=False)
    except KeyboardInterrupt:
        return replace(outcome, report="left out at your Ctrl-C")
    except InputError as error:
        return replace(outcome, report=f"not written: {error}")
    except Exception as error:  # a figure that cannot be drawn must not cost a run its exit code
        return replace(outcome, report=f"not written ({type(error).__name__}: {' '.join(str(error).split())[:200]})")
    return replace(outcome, report=str(page))

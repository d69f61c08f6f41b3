"""The report at the end of a run: there by itself, left out where asked, and never the cause of a failure."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from analysis.page import write
from analysis.runs.run_folder import RunFolder
from analysis.terminal.exit_codes import ExitCode
from cluster.check_command import parse
from sweeps import summary
from sweeps.planning.command import Command
from sweeps.record.outcome import Halt, Outcome
from sweeps.record.state import RunState, TrialState
from sweeps.running.after_training import with_report
from sweeps.summary import print_failures, print_outcome, print_summary
from tests.support.made_results import make_run


@pytest.fixture
def outcome(tmp_path: Path) -> Outcome:
    run = make_run(
        tmp_path / "made" / "run", {"activation": ["relu", "tanh"]}, {"lr": [0.1, 0.01]}, lambda c, s, e: 0.8
    )
    state = RunState({"0001": TrialState("0001", "", "", {}, 1, 1, status="completed")})
    return Outcome(run, state, None, 1.0)


def told(outcome: Outcome) -> tuple[int, str]:
    """Exit code and text of the end of a run."""
    text = StringIO()
    code = print_outcome(Console(file=text, width=100), outcome, Command(sweep="made"))
    return code, text.getvalue()


def test_the_page_stands_in_the_run_with_its_figures_inside(outcome: Outcome) -> None:
    found = with_report(outcome)
    assert found.report == str(outcome.run.path / "report.html")
    assert 'class="plot"' in (outcome.run.path / "report.html").read_text()
    assert not (outcome.run.path / "figures").exists()


def test_a_report_that_fails_is_told_and_costs_nothing(outcome: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> Path:
        raise RuntimeError("no font\nat all")

    monkeypatch.setattr(write, "write_report", fail)
    found = with_report(outcome)
    assert found.report == "not written (RuntimeError: no font at all)"
    assert found.problems == ()


def test_a_ctrl_c_leaves_it_out(outcome: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object, **options: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "write_report", interrupt)
    assert with_report(outcome).report.startswith("left out")


def test_an_interrupted_run_has_none(outcome: Outcome) -> None:
    stopped = Outcome(outcome.run, outcome.state, 2, 1.0)
    assert with_report(stopped) is stopped
    assert not (outcome.run.path / "report.html").exists()


def test_a_run_without_any_trial_says_why(tmp_path: Path) -> None:
    empty = RunFolder(tmp_path / "made" / "empty")
    found = with_report(Outcome(empty, RunState(), None, 1.0))
    assert found.report.startswith("not written: ")


@pytest.mark.parametrize(("words", "expected"), [([], True), (["--no-report"], False)])
def test_it_is_written_unless_asked_not_to(words: list[str], expected: bool) -> None:
    assert parse(["smoke", *words]).report is expected


def test_a_run_that_ends_before_any_trial_says_how_to_go_on(tmp_path: Path) -> None:
    """Its table has no row: what is printed hangs on none."""
    state = RunState({"0001": TrialState("0001", "", "", {}, 1, 1, status="interrupted")})
    halt = Halt("the time budget of 5 s is used up", ExitCode.UNFINISHED)
    code, text = told(Outcome(RunFolder(tmp_path / "made" / "run"), state, None, 6.0, halt=halt))
    assert code == 75
    assert (
        "no trial has ended\nended early: the time budget of 5 s is used up. To go on:\n  python -m sweeps.run" in text
    )


def test_its_path_is_printed(outcome: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "print_summary", lambda console, run, test: None)
    code, text = told(with_report(outcome))
    assert code == 0
    assert f"report: {outcome.run.path / 'report.html'}" in text


def test_a_cause_is_printed_as_it_is_brackets_and_all(capsys: pytest.CaptureFixture[str]) -> None:
    cause = "RuntimeError: no [/red] of [bold] in [64, 128]"
    rows = [{"status": "failed", "trial_id": name, "stop_reason": cause} for name in ("0001", "0001", "0002")]
    print_failures(Console(width=140), rows)
    assert capsys.readouterr().out.strip() == f"2 failed: {cause} (for example trial 0001)"


def test_test_metrics_are_shown_once_all_trials_have_ended(outcome: Outcome) -> None:
    for test in (True, False):
        text = StringIO()
        print_summary(Console(file=text, width=140), outcome.run, test=test)
        assert ("test auc" in text.getvalue()) == ("test acc" in text.getvalue()) == test
        assert ("test is shown when all trials have ended" in text.getvalue()) != test

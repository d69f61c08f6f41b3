"""Runs for tests of the live page: played, with their tables, and one whose every name is hostile."""

from __future__ import annotations

import json
from pathlib import Path

from analysis import table
from analysis.runs.run_folder import RunFolder
from analysis.weights.model_columns import write_trials
from benchmarks.played_runs import play_run
from sweeps.record.state import RunState, read_state
from sweeps.record.table_rows import epochs_table, trials_table

# a tag, a script, an entity, the controls of a terminal, and marks that turn the direction of text
CODE = "window['hacked']=1"
HOSTILE = f'<b>relu</b><img src=x onerror="{CODE}"><script>{CODE}</script>&lt;\x1b[31m\u202e${{1}}%{{x}}'


def played(storage: Path, trials: int, name: str = "", open_trials: int = 0) -> RunFolder:
    """Return a run that was played, with its tables."""
    run = play_run(storage, trials, epochs=4, seeds=2, open_trials=open_trials)
    if name:
        run.path.rename(run.path.with_name(name))
        run = RunFolder(run.path.with_name(name))
    write_tables(run)
    return run


def write_tables(run: RunFolder) -> RunState:
    """Write the tables of a run from its ledger."""
    state = read_state(run.ledger)
    about = run.metadata()
    write_trials(run, trials_table(run, state.trials.values(), about))
    table.write_arrow(run.epochs_table, epochs_table(run, state.trials.values(), about))
    return state


def hostile(storage: Path) -> RunFolder:
    """Return a run whose question, compared value, trial, stratum and reason are all hostile."""
    run = play_run(storage, 10, epochs=4, seeds=2, open_trials=0)
    about = json.loads(run.description.read_text())
    about |= {"question": f"Is {HOSTILE} best?", "datasets": {HOSTILE: HOSTILE}}
    about["roles"]["scientific"] = {"activation": [HOSTILE, "tanh"]}
    run.description.write_text(json.dumps(about))
    events = [json.loads(line) for line in run.ledger.read_text().splitlines()]
    for event in events:
        if event.get("trial_id") == "0001":
            event["trial_id"] = HOSTILE
        if event["event"] == "planned" and event["config"]["activation"] == "relu":
            event["config"]["activation"], event["stratum"] = HOSTILE, f"activation={HOSTILE}"
        if event["event"] == "completed" and event["trial_id"] == "0002":
            event |= {"event": "failed", "reason": f"ValueError: {HOSTILE}"}
        if event["event"] == "completed" and event["trial_id"] == "0003":
            event |= {"event": "stopped", "reason": HOSTILE, "rung": 2, "value": 0.1, "cutoff": 0.5, "peers": 3}
    run.ledger.write_text("".join(json.dumps(event) + "\n" for event in events))
    write_tables(run)
    return run

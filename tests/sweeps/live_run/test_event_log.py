"""Times are read from a ledger: spans of workers, their places, and who was stopped by what."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

from sweeps.live_run.event_log import EventLog, Span, Stop, lanes


def log_of(*events: dict[str, Any]) -> EventLog:
    log = EventLog()
    for second, event in enumerate(events):
        log.note({"time": f"2026-01-01T00:00:{second:02d}+00:00", **event})
    return log


def started(trial: str) -> dict[str, Any]:
    return {"event": "started", "trial_id": trial}


def ended(trial: str, kind: str = "completed", **more: Any) -> dict[str, Any]:
    return {"event": kind, "trial_id": trial, "reason": "r", **more}


def shown(log: EventLog) -> list[tuple[str, float | None, str]]:
    return [(span.trial_id, None if span.end is None else span.end - span.start, span.how) for span in log.spans]


def test_a_span_is_from_a_start_to_the_end_whatever_that_is() -> None:
    log = log_of(started("1"), started("2"), ended("2", "retried"), started("2"), ended("1"), ended("2", "failed"))
    assert shown(log) == [("1", 4.0, "completed"), ("2", 1.0, "retried"), ("2", 2.0, "failed")]
    assert shown(log_of(started("1"))) == [("1", None, "running")]


def test_what_a_dead_driver_left_open_ends_at_the_resume() -> None:
    log = log_of(started("1"), started("2"), {"event": "resumed", "foreign": []}, started("2"))
    assert shown(log) == [("1", 2.0, "lost"), ("2", 1.0, "lost"), ("2", None, "running")]
    assert len(log.resumed) == 1


def test_a_stop_has_its_value_its_cutoff_and_its_peers() -> None:
    rung = {"rung": 2, "value": 0.5, "cutoff": 0.75, "peers": 3}
    log = log_of(started("1"), ended("1", "stopped", **rung), started("2"), ended("2", "stopped"))
    first, second = log.stops
    assert first == Stop("1", first.time, "r", 2, 0.5, 0.75, 3)
    assert (second.epoch, second.value, second.cutoff, second.peers) == (None, None, None, None)


def test_a_stop_without_a_rung_has_the_last_epoch_that_was_trained() -> None:
    epochs = [{"event": "epoch", "trial_id": trial, "epoch": epoch} for trial, epoch in (("1", 1), ("1", 2), ("2", 1))]
    log = log_of(started("1"), started("2"), *epochs, ended("1", "stopped"), ended("2", "stopped", rung=4))
    assert [stop.epoch for stop in log.stops] == [2, 4]


def test_an_event_that_lacks_what_it_should_have_says_nothing() -> None:
    log = EventLog()
    for event in ({"event": "started"}, {"event": "started", "trial_id": "1"}, {"event": "stopped", "trial_id": 3}):
        log.note(event)
    log.note(
        {"event": "stopped", "time": "2026-01-01T00:00:00", "trial_id": "1", "rung": "x", "value": [], "peers": None}
    )
    assert log.spans == []
    assert log.stops == [Stop("1", log.last, "")]


def test_no_two_trials_have_one_place_at_a_time_and_no_place_is_more_than_needed() -> None:
    rng = random.Random(0)
    for _ in range(20):
        spans = [Span(str(number), start := rng.uniform(0, 50), start + rng.uniform(1, 20)) for number in range(40)]
        spans.sort(key=lambda span: span.start)
        places = lanes(spans, 100.0)
        for place in set(places):
            own = [span for span, where in zip(spans, places, strict=True) if where == place]
            assert all(one.end is not None and one.end <= then.start for one, then in pairwise(own))
        most = max(sum(one.start <= span.start < (one.end or 0) for one in spans) for span in spans)
        assert max(places) + 1 == most

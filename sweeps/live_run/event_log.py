"""Reads times from a run's ledger: when trials ran, who was stopped by what, and what was asked of the run."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any

from analysis.trial_status import ENDED
from sweeps.record.ledger import Event, time_of

CLOSING = {*ENDED, "interrupted", "retried", "waiting"}
Number = float | None


@dataclass
class Span:
    """A time in which a worker trained a trial: seconds since 1970. end: None while it runs; how: why it ended."""

    trial_id: str
    start: float
    end: float | None = None
    how: str = "running"


@dataclass(frozen=True)
class Stop:
    """A trial that was stopped: by which value at which epoch, against which cutoff among how many peers.

    epoch: the rung's; without one, by hand say, the last that was trained.
    """

    trial_id: str
    time: float
    reason: str
    epoch: int | None = None
    value: Number = None
    cutoff: Number = None
    peers: int | None = None


@dataclass
class EventLog:
    """The events of a ledger as `note` has taken them in. resumed: when the run was gone on with."""

    spans: list[Span] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    asked: list[tuple[float, str]] = field(default_factory=list)
    resumed: list[float] = field(default_factory=list)
    last: float = 0.0
    _open: dict[str, Span] = field(default_factory=dict)
    _trained: dict[str, int] = field(default_factory=dict)

    def note(self, event: Event) -> None:
        """Take an event in; those that say nothing here, or lack what they should have, are passed over."""
        kind, trial_id = event["event"], event.get("trial_id")
        if kind == "epoch" and isinstance(trial_id, str) and isinstance(event.get("epoch"), int):
            self._trained[trial_id] = event["epoch"]
        if kind == "epoch" or (moment := time_of(event)) is None:
            return
        self.last = now = moment.timestamp()
        if kind == "resumed":
            self.resumed.append(now)
            for span in self._open.values():
                span.end, span.how = now, "lost"
            self._open.clear()
        elif kind == "end_requested":
            self.asked.append((now, "the end of the run"))
        elif kind == "values_added":
            self.asked.append((now, f"{event.get('values')}, {event.get('trials')} more trials"))
        elif kind == "refused":
            self.asked.append((now, f"refused: {event.get('reason')}"))
        if not isinstance(trial_id, str):
            return
        if kind == "started":
            self._close(trial_id, now, "lost")
            self._open[trial_id] = Span(trial_id, now)
            self.spans.append(self._open[trial_id])
        elif kind in CLOSING:
            self._close(trial_id, now, kind)
            if kind == "stopped":
                self.stops.append(_stop(trial_id, now, event, self._trained.get(trial_id)))
        elif kind == "stop_requested":
            self.asked.append((now, f"trial {trial_id} to stop"))

    def _close(self, trial_id: str, now: float, how: str) -> None:
        if span := self._open.pop(trial_id, None):
            span.end, span.how = now, how


def _stop(trial_id: str, now: float, event: Event, trained: int | None) -> Stop:
    rung, peers = (event.get(name) if isinstance(event.get(name), int) else None for name in ("rung", "peers"))
    value, cutoff = (_number(event.get(name)) for name in ("value", "cutoff"))
    return Stop(trial_id, now, str(event.get("reason", "")), trained if rung is None else rung, value, cutoff, peers)


def _number(value: Any) -> Number:
    return float(value) if isinstance(value, int | float) else None


def lanes(spans: list[Span], now: float) -> list[int]:
    """Return a place for each span, in the order of their starts: the lowest that is free.

    The ledger does not say on which machine a trial ran; as many places are taken as trials ran at a time.
    """
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    places, most = [], 0
    for span in sorted(spans, key=lambda span: span.start):
        while busy and busy[0][0] <= span.start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            place = heapq.heappop(free)
        else:
            place, most = most, most + 1
        places.append(place)
        heapq.heappush(busy, (now if span.end is None else span.end, place))
    return places

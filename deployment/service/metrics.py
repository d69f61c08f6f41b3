"""Metrics for Prometheus: requests, latency, refusals, images, and the drift of inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from deployment.service.drift import WINDOW, Drift

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self, drift: Drift, model: str, statistics: Sequence[str], waiting: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "medsweeps_requests", "Requests that were answered, by route and status.", ("route", "status"),
            registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "medsweeps_request_seconds", "Seconds from a request's headers to its answer.", ("route",),
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.refused = Counter(
            "medsweeps_refused", "Requests that were refused or failed, by reason.", ("code",), registry=self.registry
        )
        self.images = Counter(
            "medsweeps_images", "Images by what became of them: answered, unreadable.", ("outcome",),
            registry=self.registry,
        )  # fmt: skip
        self.unlike = Counter(
            "medsweeps_images_unlike_training", "Images beyond every training image in a statistic.",
            registry=self.registry,
        )  # fmt: skip
        self.answers = Counter("medsweeps_answers", "Images by answer.", ("answer",), registry=self.registry)
        in_work = Gauge(
            "medsweeps_waiting", "Requests that are decoded or wait for the network.", registry=self.registry
        )
        in_work.set_function(waiting)
        Gauge("medsweeps_model_info", "1; the model is the label.", ("model",), registry=self.registry).labels(
            model
        ).inc()
        self._add_drift(drift, statistics)

    def _add_drift(self, drift: Drift, statistics: Sequence[str]) -> None:
        last = f"the last {WINDOW} images"
        gauges = (
            ("medsweeps_input_drift", f"Population stability index of {last} beside training.", drift.index),
            ("medsweeps_input_outside_training", f"Share of {last} beyond every training image.", drift.outside),
            ("medsweeps_input_mean", f"Mean of the statistic over {last}.", drift.mean),
        )
        for name, text, function in gauges:
            gauge = Gauge(name, text, ("statistic",), registry=self.registry)
            for statistic in statistics:
                gauge.labels(statistic).set_function(partial(function, statistic))

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self.registry)

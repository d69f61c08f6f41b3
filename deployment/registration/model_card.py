"""A model card (Mitchell et al. 2019): what a model is for, what it was made of, what it is worth, and its limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deployment.model.metadata import ModelMetadata
from trainables.data.formats.medmnist import medmnist_info

Document = Mapping[str, Any]
FIGURES = {"acc": "accuracy", "auc": "AUC", "balanced_acc": "balanced accuracy", "f1_macro": "macro F1",
           "mcc": "MCC", "kappa_quadratic": "quadratic kappa", "ece": "calibration error (ECE)",
           "brier": "Brier score"}  # fmt: skip
# Below this recall a class is named among the limits.
WEAK = 0.8


def model_card(
    name: str, version: str, description: str, metadata: ModelMetadata, metrics: Document, gate: str, forced: bool
) -> str:
    """Write a card as Markdown. metrics: `metrics.json` of the evaluation."""
    return "\n".join(_lines(name, version, description, metadata, metrics, gate, forced)) + "\n"


def _lines(
    name: str, version: str, description: str, metadata: ModelMetadata, metrics: Document, gate: str, forced: bool
) -> Iterator[str]:
    yield from (f"# {name} {version}", "")
    if description:
        yield from (description, "")
    yield from ("## Intended use", "", "Research only. This is no medical device: no diagnosis may rest on it.", "")
    yield from ("## Data", "", f"- {metadata.dataset}, digest {metadata.dataset_digest}; licence: "
                f"{licence_of(metadata.dataset)}")  # fmt: skip
    shape = "×".join(map(str, metadata.image_shape))
    yield f"- {metadata.task}; images {shape}, uint8; classes: {'; '.join(metadata.class_names)}"
    yield from ("", f"## Figures on {metrics.get('images')} images of {metrics.get('split')}", "")
    yield "Mean over seeds; 95 % over images (bootstrap), and over seeds (Student's t)."
    yield from ("", "| figure | value | images | seeds |", "| --- | --- | --- | --- |")
    for key, title in FIGURES.items():
        figure = (metrics.get("figures") or {}).get(key)
        if figure:
            spans = (_span(figure.get("images_95")), _span(figure.get("seeds_95")))
            yield f"| {title} | {_number(figure.get('value'))} | {spans[0]} | {spans[1]} |"
    yield from ("", "| class | images | recall | precision | F1 | AUC |", "| --- | --- | --- | --- | --- | --- |")
    classes = metrics.get("classes") or []
    for one in classes:
        cells = " | ".join(_number(one.get(key)) for key in ("recall", "precision", "f1", "auc"))
        yield f"| {one.get('class')} | {one.get('support')} | {cells} |"
    yield from _groups(metrics.get("gaps") or [])
    sets = f"Sets at {100 * metadata.coverage:.0f} % hold classes from {metadata.conformal_threshold:.3f} on."
    yield from ("", "## Calibration", "", f"Temperature that fits val: {metadata.temperature:.3f}. {sets}")
    yield from ("", "## Limits", "", *(f"- {limit}" for limit in _limits(metadata, metrics, classes)))
    yield from ("", "## Cost", "", *_cost(metrics.get("cost")))
    yield from ("", "## Gate", "", f"{gate}{' (registered by --force)' if forced else ''}")
    yield from ("", "## Lineage", "", f"- run {metadata.run}, trial {metadata.trial}, seed {metadata.seed}, epoch "
                f"{metadata.epoch}; model {metadata.model}", f"- commit {metadata.commit or 'not known'}")  # fmt: skip
    yield f"- versions: {', '.join(f'{key} {value}' for key, value in metadata.versions.items())}"


def _groups(gaps: Sequence[Document]) -> Iterator[str]:
    if gaps:
        yield from ("", "## Groups", "")
    for gap in gaps:
        interval = gap.get("interval") or {}
        yield (f"- by {gap.get('column')}: {gap.get('best')} is {_number(gap.get('difference'))} more accurate than "
               f"{gap.get('worst')} ({_span([interval.get('low'), interval.get('high')])})")  # fmt: skip


def _limits(metadata: ModelMetadata, metrics: Document, classes: Sequence[Document]) -> Iterator[str]:
    yield f"It knows images like those of {metadata.dataset} alone, and names one of its classes for any image."
    yield "Intervals take images as independent, which several images of one patient are not."
    for one in classes:
        if one.get("recall") is None or one["recall"] < WEAK:
            yield f"{one.get('class')}: recall {_number(one.get('recall'))} on {one.get('support')} images."
    yield from metrics.get("notes") or []


def _cost(cost: Document | None) -> Iterator[str]:
    if not cost:
        yield "not measured"
        return
    yield (f"{cost['parameters']:,} parameters, {cost['macs'] / 1e6:.1f} million multiply-adds, {cost['disk_mb']:.2f} "
           f"MiB; one image {1e3 * cost['latency_p50']:.1f} ms (p50), {1e3 * cost['latency_p95']:.1f} ms (p95) on "
           f"{cost['device']} when it was evaluated")  # fmt: skip


def licence_of(dataset: str) -> str:
    """Return the licence that MedMNIST states for a dataset of its own; others are not known here."""
    known = medmnist_info().get(dataset)
    return str(known.get("license", "not stated")) if known else "not known to us: state it"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _span(pair: Sequence[float | None] | None) -> str:
    low, high = pair or (None, None)
    return "-" if low is None or high is None else f"{low:.3f} to {high:.3f}"

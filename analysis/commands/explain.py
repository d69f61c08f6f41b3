"""Explains a trial of a run for `analysis.explain`: its files, pictures and verdicts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.explanation.explain_trial import Explanation, explain_trial
from analysis.explanation.features import counts_by_splits
from analysis.explanation.saliency import METHODS
from analysis.figures import explanation as figures
from analysis.figures.style import save
from analysis.runs.lease import hold
from analysis.runs.run_folder import RunFolder
from analysis.runs.sync import push_back
from analysis.trial_evaluation.files import write_json
from analysis.trial_evaluation.select_trials import choose_trials
from analysis.trial_evaluation.terminal import say
from trainables.errors import InputError
from trainables.json_values import as_json_value

# Lines of the picture of nearest training images.
MOST_LINES = 8


def explain_run(
    run: RunFolder,
    trial: str,
    method: str | None,
    samples: int,
    class_: str | None,
    split: str,
    data_root: Path | None,
    json_: bool,
) -> None:
    """Explain a trial of a run, write its files, and print what was found."""
    (chosen,) = choose_trials(run, trial)
    folder = run.evaluation_of(chosen.trial_id).explanations
    # first: what cannot be written in the end is not worth the work
    with hold(run, instead="try again then"):
        explanation = explain_trial(chosen, method, samples, class_, split, data_root)
        document = {"run": f"{run.sweep}/{run.run_id}", "trial": chosen.trial_id, **_document(explanation)}
        _write(folder, explanation, document)
        push_back(run)
    if json_:
        print(json.dumps(as_json_value(document)))
    else:
        _print(Console(), chosen.label, explanation, folder)


def _document(explanation: Explanation) -> dict[str, Any]:
    """Return the content of `explain.json`."""
    names = explanation.predictions.class_names
    errors = explanation.label_errors
    doubted = zip(errors.images, errors.labels, errors.believed, errors.margins, strict=True)
    return {
        "split": explanation.predictions.split,
        "model": explanation.predictions.model,
        "method": explanation.method,
        "layer": explanation.layer,
        "verdict": explanation.faithfulness.verdict,
        "faithfulness": explanation.faithfulness,
        "shown": list(explanation.shown),
        "variance_of_components": explanation.component_shares,
        "label_errors": {
            "verdict": errors.verdict,
            "expected": [errors.expected, errors.expected_low, errors.expected_high],
            "images": [{"index": i, "file": _file(explanation, i), "label": names[label], "believed": names[other],
                        "margin": margin} for i, label, other, margin in doubted],
        },
        "duplicates": {"counts": counts_by_splits(list(explanation.duplicates)), "pairs": list(explanation.duplicates)},
    }  # fmt: skip


def _file(explanation: Explanation, number: int) -> str | None:
    return explanation.predictions.files[number] if explanation.predictions.files else None


def _write(folder: Path, explanation: Explanation, document: dict[str, Any]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.png"):
            old.unlink()
        for name, figure in _figures(explanation):
            save(figure, folder / f"{name}.png")
        write_json(folder / "explain.json", document)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): free space, or mend its rights") from None


def _figures(explanation: Explanation) -> Iterator[tuple[str, Any]]:
    predictions, names = explanation.predictions, explanation.predictions.class_names
    images = explanation.data.splits[predictions.split].images
    title = METHODS[explanation.method].title
    rows = [
        figures.Explained(
            one.kind, images[one.number], saliency, names[predictions.labels[one.number]],
            names[predictions.predicted[one.number]], float(predictions.scores[one.number].max()),
        )
        for one, saliency in zip(explanation.shown, explanation.maps, strict=True)
    ]  # fmt: skip
    what = f"{title} for the class that the network names{f', layer {explanation.layer}' if explanation.layer else ''}"
    yield f"saliency_{explanation.method}", figures.saliency_maps(rows, what, explanation.faithfulness.verdict)
    if images.ndim == 5:
        yield f"montage_{explanation.method}", figures.montage(rows[0], what, explanation.faithfulness.verdict)
    yield "faithfulness", figures.faithfulness_curves(explanation.faithfulness, title)
    shares = [
        f"component {n + 1} ({100 * share:.0f} % of the variance)"
        for n, share in enumerate(explanation.component_shares)
    ]
    yield (
        "embedding_pca",
        figures.embedding(explanation.components, predictions.labels, predictions.correct, names, shares),
    )
    if explanation.umap is not None:
        axes = ("UMAP 1", "UMAP 2")
        yield (
            "embedding_umap",
            figures.embedding(explanation.umap, predictions.labels, predictions.correct, names, axes),
        )
    training = explanation.data.splits["train"]
    titles = [
        f"{predictions.split}: {one.kind}\ntrue {names[predictions.labels[one.number]][:14]}"
        for one in explanation.shown
    ]
    captions = [
        [f"{names[training.labels[n]][:14]}\ncos {c:.2f}" for n, c in zip(numbers, similar, strict=True)]
        for numbers, similar in zip(explanation.nearest, explanation.similarity, strict=True)
    ]
    shown = images[[one.number for one in explanation.shown[:MOST_LINES]]]
    yield (
        "nearest_training_images",
        figures.neighbours(
            shown, titles[:MOST_LINES], training.images, explanation.nearest[:MOST_LINES], captions[:MOST_LINES]
        ),
    )
    middle = ", middle slice" if images.ndim == 5 else ""
    if explanation.filters is not None:
        what = f"kernels of the first convolution, mean over input channels{middle}"
        yield "first_filters", figures.panels(explanation.filters, what, diverging=True)
    if explanation.feature_maps is not None:
        what = f"outputs of the first convolution for the {explanation.shown[0].kind} image{middle}"
        yield "feature_maps", figures.panels(explanation.feature_maps, what, diverging=True)


def _print(console: Console, label: str, explanation: Explanation, folder: Path) -> None:
    f = explanation.faithfulness
    say(console, f"trial {label}, {explanation.predictions.model}: {explanation.method} {explanation.layer}".rstrip())
    say(console, f"deletion {f.deletion:.3f}, random maps {f.random_deletion:.3f} (p = {f.deletion_p:.2f}); insertion "
                 f"{f.insertion:.3f}, random maps {f.random_insertion:.3f} (p = {f.insertion_p:.2f}); rho with drawn "
                 f"weights {f.randomised:.2f}; rho between seeds {f.seeds:.2f}; {f.images} images")  # fmt: skip
    say(console, f"verdict: {f.verdict}", "bold")
    say(console, f"labels: {explanation.label_errors.verdict}")
    counts = counts_by_splits(list(explanation.duplicates))
    said = ", ".join(f"{n} in {where}" for where, n in counts.items()) or "none"
    say(console, f"byte-identical images in two splits: {said}")
    say(console, f"files in {folder}; for research use only")

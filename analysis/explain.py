"""python -m analysis.explain RUN: saliency maps of a trained network, and tests of whether they are true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.command_line import new_app, start
from trainables.errors import InputError, unknown_name

if TYPE_CHECKING:
    from rich.console import Console

    from analysis.explanation.explain_trial import Explanation

app = new_app()
# Lines of the picture of nearest training images.
MOST_LINES = 8
EXAMPLES = """Examples:

  python -m analysis.explain latest

  python -m analysis.explain latest --method integrated_gradients --samples 2

  python -m analysis.explain latest --trial 0003 --class malignant
"""


@app.command(epilog=EXAMPLES)
def explain(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="latest, a sweep's name, a run id or a path.")],
    trial: Annotated[str, typer.Option(help="best (by validation), or a trial's id.")] = "best",
    method: Annotated[
        str | None,
        typer.Option(help="gradcam, gradcam++, attention, integrated_gradients or occlusion (default: by network)."),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, max=20, help="Images of each kind: right, wrong, unsure.")] = 2,
    class_: Annotated[str | None, typer.Option("--class", help="Only images whose true class has this name.")] = None,
    split: Annotated[str, typer.Option(help="test, val or train.")] = "test",
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data files.")] = None,
    storage: Annotated[str, typer.Option(help="Folder or URI of the results.")] = "results",
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Run the copies of your own code that the run keeps.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show what a network looks at, with a verdict on each picture; features, label errors, duplicates. Research only.

    Files go to evaluation/TRIAL/explain/ in the run's folder.
    """
    from rich.console import Console

    from analysis.explanation.explain_trial import explain_trial
    from analysis.runs.find import find_runs, refuse_unused_storage
    from analysis.runs.lease import hold
    from analysis.runs.run_code import trust_code_of
    from analysis.runs.sync import push_back
    from analysis.trial_evaluation.select_trials import ALL, choose_trials
    from trainables.data.arrays import SPLITS
    from trainables.json_values import as_json_value

    if split not in SPLITS:
        raise InputError(unknown_name("split", split, SPLITS))
    if trial == ALL:
        raise InputError("--trial all: one trial is explained at a time; give its id, or best")
    refuse_unused_storage(context, [run])
    runs = find_runs([run], storage)
    if len(runs) != 1:
        raise InputError(f"{run} holds {len(runs)} runs: name one of them")
    found_run = runs[0]
    if trust_code:
        trust_code_of(found_run)
    (chosen,) = choose_trials(found_run, trial)
    explanation = explain_trial(chosen, method, samples, class_, split, data_root)
    folder = found_run.evaluation_of(chosen.trial_id).explanations
    document = {"run": f"{found_run.sweep}/{found_run.run_id}", "trial": chosen.trial_id, **_document(explanation)}
    with hold(found_run, instead="try again then"):
        _write(folder, explanation, document)
        push_back(found_run)
    if json_:
        print(json.dumps(as_json_value(document)))
    else:
        _print(Console(), chosen.label, explanation, folder)


def _document(explanation: Explanation) -> dict[str, Any]:
    """Return the content of `explain.json`."""
    from analysis.explanation.features import counts_by_splits

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
    from analysis.figures.style import save
    from analysis.trial_evaluation.files import write_json

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
    from analysis.explanation.saliency import METHODS
    from analysis.figures import explanation as figures

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
    from analysis.explanation.features import counts_by_splits
    from analysis.trial_evaluation.terminal import say

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


if __name__ == "__main__":
    start(app)

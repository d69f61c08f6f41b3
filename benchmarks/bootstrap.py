"""Times bootstrap intervals of AUC and accuracy beside a loop over scikit-learn: CPU seconds, in one run.

python -m benchmarks.bootstrap
python -m benchmarks.bootstrap --images 28000 --classes 14
"""

from __future__ import annotations

import json
import time
from typing import Annotated

import numpy as np
import typer
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from analysis.command_line import new_app, start
from analysis.evaluation.bootstrap import estimate_figures

app = new_app()


@app.command()
def bootstrap(
    images: Annotated[int, typer.Option(min=200, help="Images of the split.")] = 7000,
    classes: Annotated[int, typer.Option(min=2, max=20, help="Classes.")] = 9,
    draws: Annotated[int, typer.Option(min=1, help="Draws of ours.")] = 1000,
    beside: Annotated[int, typer.Option(min=1, help="Draws of the loop over scikit-learn.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Time all headline figures of `analysis.evaluate` per draw; the loop has AUC, accuracy and F1 alone."""
    rng = np.random.default_rng(0)
    labels = np.arange(images) % classes
    scores = rng.dirichlet(np.ones(classes), images) + 0.3 * np.eye(classes)[labels]
    scores /= scores.sum(axis=1, keepdims=True)

    began = time.process_time()
    estimate_figures(labels, [scores], "multi-class", draws)
    ours = time.process_time() - began

    began = time.process_time()
    for _ in range(beside):
        rows = rng.integers(0, images, images)
        roc_auc_score(labels[rows], scores[rows], multi_class="ovr")
        accuracy_score(labels[rows], scores[rows].argmax(1))
        f1_score(labels[rows], scores[rows].argmax(1), average="macro")
    theirs = (time.process_time() - began) / beside * draws
    if as_json:
        print(json.dumps({"ours": ours, "scikit-learn": theirs}))
        return
    print(f"{draws} draws of {images} images, {classes} classes: {ours:.2f} CPU-s")
    print(f"by scikit-learn, from {beside} draws: {theirs:.1f} CPU-s, {theirs / ours:.1f} times")


if __name__ == "__main__":
    start(app)

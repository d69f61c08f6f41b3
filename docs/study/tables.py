"""Writes the study's tables and figures from its runs: python docs/study/tables.py [RESULTS].

Into docs/study/tables go trials.parquet (a row a replicate, at its best and at its last epoch), correlations.parquet
(a row a measure and an outcome) and best.parquet. Into docs/study/figures go the held correlations. What the page
shows of them is printed as Markdown.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd

from analysis.comparison.compare_runs import ComparedRuns, compare_runs
from analysis.comparison.correlations import Association, trial_means
from analysis.comparison.standings import compare
from analysis.figures.complexity import correlation_forest
from analysis.runs.find import find_runs
from analysis.statistics.rank_correlation import Correlation, spearman
from analysis.trial_evaluation.ranking import published_figures

HERE = Path(__file__).parent
COMPLEXITY = ("lmc", "sample_entropy", "effective_rank", "alpha")
PLAIN = ("weight_norm", "initial_distance")
OUTCOMES = ("gap_acc", "test_auc")
SETTINGS = (
    "sweep", "run_id", "trial_id", "seed", "dataset", "model", "data_fraction", "label_noise", "weight_decay",
    "dropout", "augmentation", "lr", "parameters", "epochs_trained", "best_epoch", "status",
)  # fmt: skip
METRICS = tuple(f"{split}_{name}" for split in ("train", "val", "test") for name in ("auc", "acc", "loss"))
EPOCHS = ("last", "best")
# test AUC and accuracy: the highest that Yang et al. 2023 give at 28 pixels, each by whichever method (AutoML too)
HIGHEST = {
    "breastmnist": (0.919, 0.863),
    "pneumoniamnist": (0.991, 0.946),
    "retinamnist": (0.750, 0.531),
    "adrenalmnist3d": (0.839, 0.802),
}


def main(results: str) -> None:
    """Write and print everything. results: the folder of the study's runs."""
    # the same figure has the same bytes
    mpl.rcParams["svg.hashsalt"] = "study"
    for name in ("tables", "figures"):
        (HERE / name).mkdir(exist_ok=True)
    trials, rows = [], []
    for sweep in ("label_noise", "generalisation"):
        for epoch in EPOCHS:
            compared = compare_runs(find_runs([f"{results}/{sweep}"]), epoch=epoch)
            frame = compared.everything.trials
            kept = [name for name in (*SETTINGS, *METRICS, "gap_acc", "gap_auc", *COMPLEXITY, *PLAIN) if name in frame]
            trials.append(frame[kept].assign(epoch=epoch))
            rows += [{"sweep": sweep, "epoch": epoch, **_flat(one)} for one in compared.models]
            print(f"\n### {sweep}, at the {epoch} epoch of each trial\n")
            print("\n".join(_correlations(compared)))
            if epoch == "last":
                print(_control(compared) if sweep == "label_noise" else _by_block(compared))
            if (sweep, epoch) == ("generalisation", "last"):
                figure = correlation_forest(compared.models, OUTCOMES)
                figure.savefig(HERE / "figures" / f"{sweep}.svg", metadata={"Date": None})
    pd.concat(trials, ignore_index=True).to_parquet(HERE / "tables" / "trials.parquet")
    pd.DataFrame(rows).to_parquet(HERE / "tables" / "correlations.parquet")
    best = list(_best(results))
    pd.DataFrame(best).to_parquet(HERE / "tables" / "best.parquet")
    print("\n### best on validation\n")
    print("\n".join(_markdown(best)))


def _flat(one: Association) -> dict[str, object]:
    """Return an association as one row: plain and held, each with its corrected p."""
    row: dict[str, object] = {
        "measure": one.measure,
        "outcome": one.outcome,
        "held": ", ".join(one.blocked + one.adjusted),
    }
    for name, part, corrected in (
        ("plain", one.plain, one.plain_corrected),
        ("held", one.partial, one.partial_corrected),
    ):
        row |= {f"{name}_{key}": value for key, value in asdict(part).items()} | {f"{name}_p_corrected": corrected}
    return row


def _correlations(compared: ComparedRuns) -> Iterator[str]:
    """Yield the lines of a table of the measures that were named beforehand."""
    found = {(one.measure, one.outcome): one for one in compared.models}
    tested = sum(not math.isnan(one.partial.p) for one in compared.models)
    yield f"| measure | outcome | ρ | ρ, rate held | corrected p of {tested} |"
    yield "| --- | --- | ---: | ---: | ---: |"
    for outcome in OUTCOMES:
        for measure in (*COMPLEXITY, *PLAIN):
            one = found[measure, outcome]
            plain, held = _interval(one.plain), _interval(one.partial)
            yield f"| `{measure}` | `{outcome}` | {plain} | {held} | {_p(one.partial_corrected)} |"


def _control(compared: ComparedRuns) -> str:
    """Say how the gap goes with the share of wrong labels, within equal network and rate, and show it by network."""
    trials = compared.everything.trials
    names = ["label_noise", "lr", "gap_acc", "train_acc", "test_acc"]
    means = trial_means(trials, names).merge(trials[["trial", "model"]].drop_duplicates(), on="trial")
    lines = ["", *(_gap_words(part, f"`{model}`") for model, part in means.groupby("model", sort=False))]
    lines += [_gap_words(means, "both"), ""]
    lines += [
        "| network | wrong labels | training accuracy | test accuracy | gap |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    shown = means.groupby(["model", "label_noise"], sort=False)[["train_acc", "test_acc", "gap_acc"]].mean()
    for (model, share), row in shown.iterrows():
        cells = f"{row.train_acc:.3f} | {row.test_acc:.3f} | {row.gap_acc:+.3f}".replace("-", "−")
        lines.append(f"| `{model}` | {share:.0%} | {cells} |")
    return "\n".join(lines)


def _gap_words(means: pd.DataFrame, name: str) -> str:
    blocks = pd.factorize(means["block"] + means["lr"].astype(str))[0]
    rho = spearman(means["label_noise"], means["gap_acc"], blocks)
    return f"- {name}: ρ of the share of wrong labels with the gap {_interval(rho)}, p {_p(rho.p)}, n = {rho.n}"


def _by_block(compared: ComparedRuns) -> str:
    """Show the held correlation with the gap in each dataset and network apart."""
    trials = compared.everything.trials
    trials = trials[trials["finished"]]
    means = trial_means(trials, ["lr", "gap_acc", *COMPLEXITY, *PLAIN])
    lines = ["", "| data and network | " + " | ".join(f"`{name}`" for name in (*COMPLEXITY, *PLAIN)) + " | n |"]
    lines.append("| --- |" + " ---: |" * (len(COMPLEXITY) + len(PLAIN) + 1))
    for block, part in means.groupby("block", sort=False):
        rhos = [spearman(part[name], part["gap_acc"], pd.factorize(part["lr"])[0]) for name in (*COMPLEXITY, *PLAIN)]
        lines.append(
            f"| {block} | " + " | ".join(f"{one.rho:.2f}".replace("-", "−") for one in rhos) + f" | {len(part)} |"
        )
    return "\n".join(lines)


def _best(results: str) -> Iterator[dict[str, Any]]:
    """Yield our best on each dataset with its intervals over seeds, and each published 28-pixel figure."""
    loaded = compare_runs(find_runs([f"{results}/best"])).results
    for standing in compare(loaded).standings:
        dataset = str(loaded.trials.loc[loaded.trials["trial"] == standing.trial, "dataset"].iloc[0])
        mean_auc, mean_acc = standing.metrics["test_auc"], standing.metrics["test_acc"]
        yield {
            "dataset": dataset, "method": f"ours, {standing.value}, lr {standing.nuisance['lr']}", "auc": mean_auc.mean,
            "auc_half": mean_auc.half_width, "acc": mean_acc.mean, "acc_half": mean_acc.half_width, "n": mean_auc.n,
        }  # fmt: skip
        known = [
            (row["method"], float(row["auc"]), float(row["acc"]))
            for row in published_figures()
            if row["dataset"] == dataset and "224" not in row["method"]
        ]
        for method, auc, acc in [*known, ("highest of all methods", *HIGHEST[dataset])]:
            numbers = {"auc": auc, "auc_half": math.nan, "acc": acc, "acc_half": math.nan, "n": 0}
            yield {"dataset": dataset, "method": method, **numbers}


def _markdown(best: list[dict[str, Any]]) -> Iterator[str]:
    yield "| data | method | test AUC | test accuracy | seeds |"
    yield "| --- | --- | ---: | ---: | ---: |"
    for row in best:
        auc, acc = _estimate(row["auc"], row["auc_half"]), _estimate(row["acc"], row["acc_half"])
        yield f"| {row['dataset']} | {row['method']} | {auc} | {acc} | {row['n'] or 'not given'} |"


def _estimate(mean: float, half: float) -> str:
    return f"{mean:.3f}" if math.isnan(half) else f"{mean:.3f} ± {half:.3f}"


def _interval(one: Correlation) -> str:
    if math.isnan(one.rho):
        return "none"
    around = "" if math.isnan(one.low) else f" ({one.low:.2f} to {one.high:.2f})"
    return f"{one.rho:.2f}{around}".replace("-", "−")


def _p(p: float) -> str:
    return "none" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.2g}"


if __name__ == "__main__":
    arguments: Sequence[str] = sys.argv[1:]
    main(arguments[0] if arguments else "results/study")

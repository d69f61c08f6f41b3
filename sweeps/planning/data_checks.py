"""What a plan must know of its data before anything starts."""

from __future__ import annotations

from collections.abc import Iterable

from search_spaces.definition import Optuna, Sweep
from trainables.data.arrays import Data, classes_without_auc
from trainables.errors import InputError


def check_metric_on_data(sweep: Sweep, datasets: Iterable[Data]) -> None:
    """Raise `InputError` where the sweep is steered by a val AUC that the data leave undefined."""
    searched = sweep.searcher.metrics if isinstance(sweep.searcher, Optuna) else ()
    metrics = [metric for metric in dict.fromkeys((sweep.metric, *searched)) if metric.endswith("_auc")]
    for data in datasets if metrics else ():
        missing = classes_without_auc(data.info, data.splits["val"])
        if missing:
            raise InputError(
                f"{metrics[0]} is undefined on {data.info.name}, whose val lacks {', '.join(missing)}: choose "
                "--metric val_acc or val_loss, or add images until each class has some in val"
            )

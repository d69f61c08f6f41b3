"""Which regulariser helps a small network on few images: weight decay, dropout, label smoothing, averaging?

Size: 7 settings × 2 learning rates × 3 seeds, 30 epochs each, no early stopping.
Cost: 7 trials of 1 epoch and 1 seed took 61 s on 2 busy cores, start and figures included (`--epochs 1 --seeds 1
--set lr=0.001`).
"""

from ray import tune

from search_spaces.definition import Sweep

SWEEP = Sweep(
    question="Which regulariser improves the validation AUC over none, at the best of two learning rates?",
    scientific={},
    cases=(
        {"weight_decay": 0.0, "dropout": 0.0, "label_smoothing": 0.0, "ema": None},
        {"weight_decay": 0.01, "dropout": 0.0, "label_smoothing": 0.0, "ema": None},
        {"weight_decay": 0.1, "dropout": 0.0, "label_smoothing": 0.0, "ema": None},
        {"weight_decay": 0.0, "dropout": 0.2, "label_smoothing": 0.0, "ema": None},
        {"weight_decay": 0.0, "dropout": 0.5, "label_smoothing": 0.0, "ema": None},
        {"weight_decay": 0.0, "dropout": 0.0, "label_smoothing": 0.1, "ema": None},
        {"weight_decay": 0.0, "dropout": 0.0, "label_smoothing": 0.0, "ema": 0.98},
    ),
    nuisance={"lr": tune.grid_search([1e-3, 3e-3])},
    fixed={"dataset": "breastmnist", "model": "cnn", "optimizer": "adamw", "schedule": "cosine", "epochs": 30},
    scheduler="fifo",
)

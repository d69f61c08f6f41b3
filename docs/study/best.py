"""The best that a small sweep reaches on each medical set at 28 pixels, selected on validation alone, with 5 seeds.

The learning rate is tuned. Dataset and model are chosen on the command line: docs/study/run.sh.

Size: 3 learning rates × 5 seeds, at most 15 epochs, ASHA among the rates.
"""

from ray import tune

from search_spaces.definition import Asha, Sweep

SWEEP = Sweep(
    question="How far does a small network get with all training images, at its best learning rate?",
    scientific={"model": tune.grid_search(["cnn"])},
    nuisance={"lr": tune.grid_search([3e-3, 1e-3, 1e-2])},
    fixed={
        "dataset": "breastmnist", "width": 32, "augmentation": "light", "optimizer": "adamw", "weight_decay": 0.01,
        "schedule": "cosine", "batch_size": 64, "epochs": 15, "precision": "bfloat16",
    },
    seeds=(0, 1, 2, 3, 4),
    scheduler=Asha(grace=4, reduction=2),
)  # fmt: skip

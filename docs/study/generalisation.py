"""Does the complexity of trained weights say anything about generalisation, once rate, size and epochs are held?

Trials of one dataset and one model differ in three things that regularise, at each of two learning rates. None is
stopped, so that all have the same epochs. Dataset and model are chosen on the command line: docs/study/run.sh.

Size: 8 settings × 2 learning rates × 3 seeds, 15 epochs, about 1,000 training images.
"""

from ray import tune

from search_spaces.definition import Sweep

SWEEP = Sweep(
    question="How do weight decay, dropout and augmentation change the weights' complexity and the generalisation gap?",
    scientific={
        "weight_decay": tune.grid_search([0.0, 0.3]),
        "dropout": tune.grid_search([0.0, 0.5]),
        "augmentation": tune.grid_search(["none", "light"]),
    },
    nuisance={"lr": tune.grid_search([1e-3, 1e-2])},
    fixed={
        "dataset": "breastmnist", "model": "cnn", "width": 8, "optimizer": "adamw", "schedule": "cosine",
        "batch_size": 64, "epochs": 15,
    },
    scheduler="fifo",
)  # fmt: skip

"""Does augmentation help, with against without, each at its own best learning rate?

Size: 3 presets × 2 learning rates × 3 seeds, 30 epochs each, no early stopping: augmented runs start slower.
Cost: 3 trials of 1 epoch and 1 seed took 45 s on 2 busy cores, start and figures included (`--epochs 1 --seeds 1
--set lr=0.001`).
"""

from ray import tune

from search_spaces.definition import Sweep

SWEEP = Sweep(
    question="Does augmenting the training images improve the validation AUC, at the best of two learning rates?",
    scientific={"augmentation": tune.grid_search(["none", "light", "strong"])},
    nuisance={"lr": tune.grid_search([1e-3, 3e-3])},
    fixed={"dataset": "retinamnist", "model": "cnn", "optimizer": "adamw", "schedule": "cosine", "epochs": 30},
    scheduler="fifo",
)

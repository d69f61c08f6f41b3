"""Does depth help with and without skip connections? Gradient norms by epoch are in `epochs.parquet`.

Size: 4 depths × with or without skips × 2 learning rates × 3 seeds, 20 epochs each, no early stopping.
Cost: 4 trials of 1 epoch and 1 seed took 42 s on 2 busy cores, start and figures included (`--epochs 1 --seeds 1
--set lr=0.001 --set blocks=1,2`).
"""

from ray import tune

from search_spaces.definition import Sweep

SWEEP = Sweep(
    question="Do skip connections let a deeper network train better than a plain one of the same depth?",
    scientific={"blocks": tune.grid_search([1, 2, 3, 5]), "skips": tune.grid_search([True, False])},
    nuisance={"lr": tune.grid_search([1e-3, 3e-3])},
    fixed={"dataset": "breastmnist", "model": "resnet", "optimizer": "adamw", "schedule": "cosine", "epochs": 20},
    scheduler="fifo",
)

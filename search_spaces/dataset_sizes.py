"""How do performance and weight complexity change with the number of training images?

Add `--set image_size=28,64,128,224` where those files are there: the same model then sees every size.

Size: 5 fractions of the training images × 2 learning rates × 3 seeds, 20 epochs each, no early stopping.
Cost: 5 trials of 1 epoch and 1 seed took 38 s on 2 busy cores, start and figures included (`--epochs 1 --seeds 1
--set lr=0.001`).
"""

from ray import tune

from search_spaces.definition import Sweep

SWEEP = Sweep(
    question="How does the validation AUC grow with the share of the training images that is used?",
    scientific={"data_fraction": tune.grid_search([0.1, 0.2, 0.4, 0.7, 1.0])},
    nuisance={"lr": tune.grid_search([1e-3, 3e-3])},
    fixed={"dataset": "pneumoniamnist", "model": "cnn", "optimizer": "adamw", "schedule": "cosine", "epochs": 20},
    scheduler="fifo",
)

"""Which learning-rate schedule is best, when each gets its own best peak rate?

Size: 8 schedules × 4 peak rates × 3 seeds, 20 epochs each; no early stopping, since schedules differ at their ends.
Cost: 32 trials of 1 epoch and 1 seed took 48 s on 2 busy cores, start and figures included (`--epochs 1 --seeds 1`).
"""

from ray import tune

from search_spaces.definition import Sweep

SWEEP = Sweep(
    question="Which learning-rate schedule gives the best validation AUC, each at its own best peak rate?",
    scientific={
        "schedule": tune.grid_search(
            ["constant", "multistep", "exponential", "linear", "cosine", "cosine_warm_up", "one_cycle", "plateau"]
        ),
    },
    nuisance={"lr": tune.grid_search([1e-3, 3e-3, 1e-2, 3e-2])},
    fixed={"dataset": "digits", "model": "cnn", "optimizer": "adamw", "epochs": 20},
    scheduler="fifo",
)

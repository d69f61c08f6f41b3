"""Do random layers regularise a small network better than nothing, each at its own best strength?

Size: 6 kinds of random layer × 3 strengths, and none, × 3 seeds, 20 epochs each; no early stopping: noise makes early
epochs a bad judge.
Cost: 7 trials of 1 epoch and 1 seed took 63 s on 2 busy cores, start and figures included (`--epochs 1 --seeds 1
--set stochastic_strength=0.1`).
"""

from ray import tune

from search_spaces.definition import Sweep

SWEEP = Sweep(
    question="Which random layer gives the best validation AUC, each at its own best strength?",
    scientific={
        "stochastic": tune.grid_search(
            [
                "none",
                "additive_noise",
                "multiplicative_noise",
                "dropout",
                "drop_connect",
                "drop_block",
                "stochastic_depth",
            ]
        ),
    },
    nuisance={"stochastic_strength": tune.grid_search([0.05, 0.1, 0.3])},
    fixed={"dataset": "breastmnist", "model": "resnet", "optimizer": "adamw", "schedule": "cosine", "epochs": 20},
    scheduler="fifo",
)

"""Which optimiser is best, when each is searched around its own default learning rate?

torch's default for SGD, 0.001, is far below what networks with BatchNorm take, and Adam's is about right: so the
multiples go up to 100, and one optimiser's useful range is not cut where another's is whole. All have torch's decay of
AdamW, 0.01: without any, Adam and AdamW are one and the same.

Size: 8 optimisers × 7 multiples of the default rate × 3 seeds, at most 18 epochs, ASHA among the multiples of each.
Cost: 56 trials of 1 epoch and 1 seed took 59 s on 2 busy cores, start and figures included (`--epochs 1 --seeds 1`).
"""

from ray import tune

from search_spaces.definition import Asha, Sweep

SWEEP = Sweep(
    question="Which optimiser gives the best validation AUC, each at its own best multiple of its default rate?",
    scientific={
        "optimizer": tune.grid_search(
            ["sgd", "sgd_nesterov", "adam", "adamw", "adamax", "nadam", "radam", "rmsprop"]
        ),
    },
    nuisance={"lr_scale": tune.grid_search([1.0, 3.0, 10.0, 30.0, 0.3, 100.0, 0.1])},
    fixed={"dataset": "digits", "model": "cnn", "weight_decay": 0.01, "schedule": "cosine", "epochs": 18},
    scheduler=Asha(grace=2, reduction=3),
)  # fmt: skip

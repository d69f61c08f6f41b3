"""Which optimiser is best, when each is searched around its own default learning rate?

Size: 8 optimisers × 5 multiples of the default rate × 3 seeds, at most 18 epochs, ASHA among the multiples of each.
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
    nuisance={"lr_scale": tune.grid_search([0.1, 0.3, 1.0, 3.0, 10.0])},
    fixed={"dataset": "digits", "model": "cnn", "schedule": "cosine", "epochs": 18},
    scheduler=Asha(grace=2, reduction=3),
)  # fmt: skip

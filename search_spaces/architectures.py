"""Which architecture is best on small images, when each gets its own best learning rate?

Size: 6 models × 4 multiples of the optimiser's default rate × 3 seeds, at most 27 epochs, ASHA by model.
Cost: 6 trials of 1 epoch and 1 seed took 95 s on 2 busy cores, start and figures included (`--epochs 1 --seeds 1
--set lr_scale=1`).
"""

from ray import tune

from search_spaces.definition import Asha, Sweep

SWEEP = Sweep(
    question="Which architecture gives the best validation AUC, each at its own best learning rate?",
    scientific={"model": tune.grid_search(["mlp", "cnn", "study_cnn", "resnet18", "densenet121", "efficientnet_b0"])},
    nuisance={"lr_scale": tune.grid_search([0.3, 1.0, 3.0, 10.0])},
    fixed={"dataset": "breastmnist", "optimizer": "adamw", "schedule": "cosine", "epochs": 27},
    scheduler=Asha(grace=3, reduction=3),
)

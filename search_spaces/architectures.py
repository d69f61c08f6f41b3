"""Which architecture is best on small images, when each gets its own best learning rate?

Size: 6 models × 4 multiples of the optimiser's default rate × 3 seeds, at most 27 epochs, ASHA by model.
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

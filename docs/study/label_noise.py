"""The positive control: a share of the training labels is wrong, so that a network that learns them by heart has a gap.

The images, the wrong labels, the rate, the size and the epochs are the same wherever trials are compared. Only the
share of wrong labels differs. Validation and test labels stay right.

Size: 5 shares × 2 learning rates × 3 seeds, 40 epochs, 1,620 images of MNIST.
"""

from ray import tune

from search_spaces.definition import Sweep

SWEEP = Sweep(
    question="How do wrong labels that are learnt by heart change the weights' complexity and the generalisation gap?",
    scientific={"label_noise": tune.grid_search([0.0, 0.1, 0.2, 0.3, 0.4])},
    nuisance={"lr": tune.grid_search([1e-3, 1e-2])},
    fixed={
        "dataset": "mnist", "data_fraction": 0.03, "model": "cnn", "width": 8, "optimizer": "adamw",
        "schedule": "cosine", "batch_size": 64, "epochs": 40,
    },
    scheduler="fifo",
)  # fmt: skip

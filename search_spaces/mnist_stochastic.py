"""The MNIST study's stochastic matrices: every layer maps the probability simplex to itself.

Size: 2 kinds of matrix × 2 temperatures × 2 activations × 2 rates × 3 seeds, at most 100 epochs, patience 20.
Cost: 8 trials of 1 epoch, 1 seed and a tenth of the images took 69 s on 2 busy cores, start and figures included
(`--epochs 1 --seeds 1 --set data_fraction=0.1 --set lr=0.1`).
"""

from ray import tune

from search_spaces.definition import Sweep

SWEEP = Sweep(
    question="How accurate is an MLP on MNIST whose weights are stochastic matrices, and at which temperature?",
    scientific={
        "stochastic": tune.grid_search(["softmax_matrix", "sparsemax_matrix"]),
        "stochastic_temperature": tune.grid_search([1.0, 0.5]),
        "activation": tune.grid_search(["identity", "rescaled_relu_100"]),
    },
    nuisance={"lr": tune.grid_search([1e-2, 1e-1])},
    fixed={
        "dataset": "mnist", "model": "mlp", "hidden_dims": (512, 256, 128), "optimizer": "adam", "schedule": "constant",
        "batch_size": 128, "epochs": 100, "patience": 20, "early_stopping_metric": "val_acc",
    },
    metric="val_acc",
    scheduler="fifo",
)  # fmt: skip

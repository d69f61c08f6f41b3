"""The MNIST study's grid: activations × two MLPs, dropout 0.2, Adam 0.001, batch 128.

Size: 8 activations × 2 networks × 3 seeds, at most 30 epochs with early stopping (patience 5).
Cost: 16 trials of 1 epoch, 1 seed and a fifth of the images took 59 s on 2 busy cores, start and figures included
(`--epochs 1 --seeds 1 --set data_fraction=0.2`).
"""

from ray import tune

from search_spaces.definition import Sweep

SWEEP = Sweep(
    question="Which activation gives an MLP on MNIST the best validation accuracy, in two sizes of network?",
    scientific={
        "activation": tune.grid_search(
            ["relu", "gelu", "learned_threshold", "jump_relu", "rescaled_relu_100", "layer_softmax", "layer_sparsemax",
             "power_normalization"]
        ),
        "hidden_dims": tune.grid_search([(512, 256, 128, 64), (512, 256)]),
    },
    fixed={
        "dataset": "mnist", "model": "mlp", "dropout": 0.2, "optimizer": "adam", "lr": 1e-3, "schedule": "constant",
        "batch_size": 128, "epochs": 30, "patience": 5, "early_stopping_metric": "val_acc",
    },
    metric="val_acc",
    scheduler="fifo",
)  # fmt: skip

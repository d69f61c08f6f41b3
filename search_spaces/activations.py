"""Which activation function trains a deep plain network, when each gets its own best learning rate?

The network has eight hidden layers of 64 units, without skips and normalisation, so that much hangs on the activation:
a self-normalising one (SELU, Klambauer et al. 2017) trains it, one that shrinks or blows up its input does not.
`--set model=cnn` asks the same of a convolutional network with batch normalisation, where little hangs on it.

Size: 12 activations × 4 learning rates × 3 seeds, at most 12 epochs, ASHA among the rates of each activation. The
likeliest rate comes first, so that the others meet a good peer at the rungs.
Cost: 48 trials of 1 epoch and 1 seed took 44 s on 2 busy cores, start and figures included (`--epochs 1 --seeds 1`).
"""

from ray import tune

from search_spaces.definition import Asha, Sweep

SWEEP = Sweep(
    question="Which activation function trains a deep plain network best, each at its own best learning rate?",
    scientific={
        "activation": tune.grid_search(
            [
                "relu", "leaky_relu", "prelu", "elu", "selu", "gelu", "silu", "mish", "tanh", "sigmoid", "softplus",
                "squared_relu",
            ]
        ),
    },
    nuisance={"lr": tune.grid_search([1e-2, 3e-3, 3e-2, 1e-3])},
    fixed={
        "dataset": "digits", "model": "mlp", "hidden_dims": (64,) * 8, "optimizer": "adamw", "schedule": "cosine",
        "epochs": 12,
    },
    scheduler=Asha(grace=2, reduction=3),
)  # fmt: skip

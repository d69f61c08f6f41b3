"""The weight-complexity study's four configurations: SGD 0.001, momentum 0.9, 5 epochs.

As in its public code, 2D inputs are scaled to [-1, 1] and 3D inputs to [0, 1].

PathMNIST at 28 and 224 and OrganMNIST3D at 28 and 64 are downloaded where they are not in the data root (PathMNIST at
224 has 12 GB). A part of it: `--set dataset=pathmnist`.

Size: 4 configurations × 1 seed (42), 5 epochs.
Cost: its 2D network on PneumoniaMNIST took 48 s on 2 busy cores, start and figures included (`--set model=study_cnn
--set dataset=pneumoniamnist`).
"""

from search_spaces.definition import Sweep

# inputs in [0, 1]
UNSCALED = {"normalization": "none"}

SWEEP = Sweep(
    question="How do LMC and Sample Entropy of the weights differ between 2D and 3D networks and image sizes?",
    scientific={},
    cases=(
        {"dataset": "pathmnist", "image_size": 28, "model": "study_cnn", "batch_size": 128, "normalization": "half"},
        {"dataset": "pathmnist", "image_size": 224, "model": "resnet18", "batch_size": 128, "normalization": "half"},
        {"dataset": "organmnist3d", "image_size": 28, "model": "one_conv3d", "batch_size": 128} | UNSCALED,
        {"dataset": "organmnist3d", "image_size": 64, "model": "one_conv3d", "batch_size": 8} | UNSCALED,
    ),
    fixed={
        "optimizer": "sgd", "lr": 1e-3, "momentum": 0.9, "schedule": "constant", "epochs": 5,
    },
    seeds=(42,),
    scheduler="fifo",
)  # fmt: skip

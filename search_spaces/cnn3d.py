"""Which 3D network is best on small volumes: from scratch, one convolution, or a ResNet with 3D, 2.5D or ACS?

Size: 5 networks × 2 learning rates × 3 seeds, at most 100 epochs with early stopping (patience 15).
Cost: 5 trials of 1 epoch and 1 seed, the ResNets with ImageNet's stem, took 366 s on 2 busy cores, start and figures
included (`--epochs 1 --seeds 1 --set lr=0.001 --set stem=imagenet`).
"""

from ray import tune

from search_spaces.definition import Sweep

SWEEP = Sweep(
    question="Which 3D network gives the best validation AUC on small volumes?",
    scientific={},
    cases=(
        {"model": "cnn3d"},
        {"model": "one_conv3d"},
        {"model": "resnet18_3d", "conv3d": "3d"},
        {"model": "resnet18_3d", "conv3d": "2.5d"},
        {"model": "resnet18_3d", "conv3d": "acs"},
    ),
    nuisance={"lr": tune.grid_search([3e-4, 1e-3])},
    fixed={
        "dataset": "adrenalmnist3d",
        "normalization": "times_half",
        "augmentation": "shape",
        "optimizer": "adam",
        "schedule": "multistep",
        "batch_size": 32,
        "epochs": 100,
        "patience": 15,
    },
    scheduler="fifo",
)

"""MedMNIST's own protocol (Yang et al. 2023): Adam 1e-3, batch 128, 100 epochs, ×0.1 at 50 and 75, best by val AUC.

For a 3D set: `--dataset adrenalmnist3d --set model=resnet18_3d --set batch_size=32`, and for the shape sets (adrenal,
vessel) also `--set normalization=times_half --set augmentation=shape`.

Size: 1 model × 3 seeds, 100 epochs.
Cost: 1 epoch and 1 seed took 49 s on 2 busy cores, start and figures included (`--epochs 1 --seeds 1`).
"""

from search_spaces.definition import Sweep

SWEEP = Sweep(
    question="Does the official protocol give the published AUC and ACC?",
    scientific={},
    fixed={
        "dataset": "breastmnist",
        "model": "resnet18",
        "normalization": "half",
        "optimizer": "adam",
        "lr": 1e-3,
        "schedule": "multistep",
        "batch_size": 128,
        "epochs": 100,
    },
    scheduler="fifo",
)

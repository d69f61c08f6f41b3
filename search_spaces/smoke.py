"""Does everything work here? Two trials in seconds, on digits that need no download.

Size: 2 activations × 1 seed, 2 epochs.
Cost: all of it took 28 s on 2 busy cores, start and figures included.
"""

from ray import tune

from search_spaces.definition import Sweep

SWEEP = Sweep(
    question="Does a sweep run from end to end on this machine?",
    scientific={"activation": tune.grid_search(["relu", "tanh"])},
    fixed={"dataset": "digits", "model": "cnn", "lr": 1e-2, "epochs": 2},
    seeds=(0,),
    scheduler="fifo",
)

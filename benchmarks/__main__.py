"""`python -m benchmarks NAME [options]`: the same as `python -m benchmarks.NAME`."""

from __future__ import annotations

import sys
from importlib import import_module

from analysis.command_line import start

NAMES = {
    "bootstrap": "intervals of an evaluation over images, beside a loop over scikit-learn",
    "dashboard": "the live page: first paint, an event, memory, and many open pages",
    "data": "preparing batches, beside medmnist's DataLoader",
    "epoch": "an epoch of MedMNIST's protocol, beside its official loop",
    "file_transfer": "an epoch's files on their way from a node that does not share the results' file system",
    "fused": "replicates trained as one network, beside one by one",
    "growth": "what grows with the number of trials: planning, tables, screens, a resume, commands",
    "orchestration": "a whole sweep, beside two plain processes, Optuna and Ray Tune's textbook program",
    "sample_entropy": "exact Sample Entropy, beside antropy",
}


def main() -> None:
    """Run a benchmark by its name."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print("python -m benchmarks NAME [options]\n" + "\n".join(f"  {n:<16}{what}" for n, what in NAMES.items()))
        print("python -m benchmarks --check [options]\n  the ratios of all, beside the bounds that they are to keep")
        return
    if name == "--check":
        start(import_module("benchmarks.check").app, sys.argv[2:])
    if name not in NAMES:
        print(f"error: unknown benchmark {name!r}; there are {', '.join(NAMES)}", file=sys.stderr)
        sys.exit(2)
    # imported, so that its functions are found by the processes that it starts; in `__main__` they would not be
    start(import_module(f"benchmarks.{name}").app, sys.argv[2:])


if __name__ == "__main__":
    main()

"""`python -m benchmarks NAME [options]`: the same as `python -m benchmarks.NAME`."""

from __future__ import annotations

import runpy
import sys

NAMES = {
    "carrying": "an epoch's files on their way home from a node that does not see the results",
    "data": "preparing batches, beside medmnist's DataLoader",
    "epoch": "an epoch of MedMNIST's protocol, beside its official loop",
    "orchestration": "a whole sweep, beside two plain processes and Ray Tune's textbook program",
    "sample_entropy": "exact Sample Entropy, beside antropy",
}


def main() -> None:
    """Run a benchmark by its name."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print("python -m benchmarks NAME [options]\n" + "\n".join(f"  {n:<16}{what}" for n, what in NAMES.items()))
        return
    if name not in NAMES:
        print(f"error: unknown benchmark {name!r}; there are {', '.join(NAMES)}", file=sys.stderr)
        sys.exit(2)
    sys.argv = [f"benchmarks.{name}", *sys.argv[2:]]
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")


if __name__ == "__main__":
    main()

"""What a trained network is worth: figures with intervals, calibration, groups, cost and a gate, of arrays."""

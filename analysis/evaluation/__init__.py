"""Functions of predictions: figures with intervals, calibration, groups, cost and a gate."""

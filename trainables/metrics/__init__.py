"""Functions of scores and labels: AUC, ACC, losses."""

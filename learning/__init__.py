"""Learning: code tasks, models, local training and evaluation. Knows torch and data; knows nothing of nodes or chains."""

"""Money and merit as pure integers: what an update is worth, what an act earns, what a fault costs. Standard library only."""

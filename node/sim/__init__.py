"""The ports in memory: the contracts' reference model, gossip, blobs and a toy trainer on virtual time. For simulation and tests."""

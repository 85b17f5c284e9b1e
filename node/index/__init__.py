"""Events read once: a local copy of the chain's history with block hashes, resumed after a kill and rolled back on a reorganisation."""

"""Models a community trains: loading, LoRA factors, canonical checkpoints."""

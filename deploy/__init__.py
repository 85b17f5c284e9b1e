"""Getting a community onto machines: deployment of the contracts, a local network of real processes, the demo."""

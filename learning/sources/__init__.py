"""Where training data come from: repositories on disk, read but never run."""

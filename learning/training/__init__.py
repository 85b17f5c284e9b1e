"""Trains and measures Transformers models on the code tasks: `learning.training.learner.TransformerLearner`."""

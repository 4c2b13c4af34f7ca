"""Figures from probabilities and labels."""

"""Training and judging: the loop, checkpoints, recipes and what they share."""

"""What the features are used for: one file per task of the paper, and the losses they share."""

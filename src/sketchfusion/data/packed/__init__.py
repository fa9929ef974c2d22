"""The open data sets packed into a few files, in memory, and in batches: what everything here is trained on."""

"""Galleries: photos with their descriptors, found by a sketch or by another photo."""

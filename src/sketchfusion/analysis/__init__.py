"""The pilot study (paper Sec. 4): what the features look like, which frequencies they hold, what a fusion learned."""

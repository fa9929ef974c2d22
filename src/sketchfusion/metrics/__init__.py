"""Measures of the tasks, as pure functions on tensors."""

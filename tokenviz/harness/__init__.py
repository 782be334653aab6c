"""Experiments: the decorator that makes a command of a function, and the grid of models x texts with its runs."""

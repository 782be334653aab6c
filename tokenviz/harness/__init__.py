"""Experiments: the decorator that makes a command of a function, and the grid of models x texts with its runs."""

import os

# Figures are drawn beside the scoring: threads that wait for each other must not hold cores meanwhile. Read when torch is
# imported; scoring alone is as quick on an AMD processor and 8 % slower on an Intel one, fifty texts by two models with
# everything take 0.85 of the time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

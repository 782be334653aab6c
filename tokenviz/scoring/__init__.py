"""From a loaded model and a text to one row a token."""

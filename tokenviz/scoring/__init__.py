"""Scoring: from a loaded model and a text to one row per token."""

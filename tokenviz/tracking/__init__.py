"""Runs in MLflow: tables, files, numbers and names go in; what they mean is decided elsewhere."""

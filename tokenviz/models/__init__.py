"""Models: from a model spec to a loaded model and tokenizer, with or without a model hub."""

"""From a model spec to a loaded model and tokenizer, with or without a hub."""

"""Dumps: log-probs that another engine computed are read, checked against a tokenizer, and made into token tables."""

"""Log-probs that another engine computed: its files are read, checked against a tokenizer, and made into token tables."""

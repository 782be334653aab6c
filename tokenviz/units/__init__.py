"""Units of a text over which log-probs are summed: words, spans that several tokenizers share, the units of a study."""

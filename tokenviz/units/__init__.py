"""Units of a text, which log-probs are summed over: words, stretches that several models cut alike, the units of a study."""

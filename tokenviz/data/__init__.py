"""Data that is read and kept: texts, their spans, and token tables (`TokenScores`)."""

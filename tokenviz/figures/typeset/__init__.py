"""Type without tokens: fonts, scripts, the order of bidirectional text, LaTeX, colours, and figures as files."""

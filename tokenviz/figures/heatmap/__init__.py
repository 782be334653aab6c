"""The text heatmap: one definition, drawn by matplotlib, as HTML, as LaTeX and for a terminal."""

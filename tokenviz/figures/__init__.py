"""Figures from tables: data in, matplotlib figures, HTML, LaTeX or a terminal's text out. Nothing here touches a model."""

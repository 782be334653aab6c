"""Figures from tables: data in, matplotlib figures or self-contained HTML out. Nothing here touches a model."""

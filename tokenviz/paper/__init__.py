"""From runs into a paper's folder: figures, tables and numbers pulled, checked, traced back and drawn again."""

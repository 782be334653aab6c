"""Interactive pages, each one self-contained HTML file: reports of texts, and overviews of grids."""

"""Pages of recorded grids, which `tokenviz ui` serves and `tokenviz runs export --html` writes."""

"""Pages on recorded grids: what `tokenviz ui` shows first, and what `tokenviz runs export --html` writes."""

"""Two models on one text, side by side: units that both can be read over, and statistics of them."""

"""Records: reading the tables of a recorded run, with checks of what is read."""

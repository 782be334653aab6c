"""The ground of the house: errors, progress, the terminal, characters, the disk. Nothing here knows a model."""

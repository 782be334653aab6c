"""The `tokenviz` command. Its modules import nothing heavy: `tokenviz --help` answers at once."""

"""The `tokenviz` command. Its modules import nothing heavy, so that `tokenviz --help` answers at once."""

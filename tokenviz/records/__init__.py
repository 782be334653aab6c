"""From a recorded run back to its tables: the one reader, which checks what it reads."""

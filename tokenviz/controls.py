"""Control characters, which a terminal must not obey."""

_VISIBLE = {chr(code): chr(0x2400 + code) for code in [*range(0x20)] if chr(code) not in "\n\t"}
_VISIBLE |= {chr(code): f"<{code:02X}>" for code in range(0x7F, 0xA0)}
# Overrides of the writing direction would show words in another order than the text's.
_VISIBLE |= {chr(code): f"<{code:X}>" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_ESCAPED = str.maketrans(_VISIBLE)


def visible(text: str) -> str:
    """Return a text with its control characters made visible, except newline and tab."""
    return text.translate(_ESCAPED)

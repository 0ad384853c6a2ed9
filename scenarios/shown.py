"""Texts that came from outside, made fit for a message: one line, nothing that a terminal would act on."""


def shown(text: str) -> str:
    """`text` for a message, at most 300 characters of it."""
    text = text if len(text) <= 300 else text[:297] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

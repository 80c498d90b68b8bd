"""What is wrong with a configuration. Pure."""

from typing import Final

MAX_TEXT: Final = 2000
"""Characters of an error: it names what is wrong, and that may be as long as a configuration."""


def well_formed(text: str) -> str:
    """A text without halves of pairs, which JSON can spell and no encoding can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class IngressError(ValueError):
    """A configuration that is not taken. Its text is what the Go client answers, word for word, where that has one:
    it is shown in the dashboard to whoever made the rules."""

    def __init__(self, text: str) -> None:
        super().__init__(well_formed(text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"))


class RuleError(IngressError):
    """What is wrong with one rule."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.number = number
        """Of the rule, from 1."""

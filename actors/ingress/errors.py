"""What is wrong with a configuration. Pure."""


class IngressError(ValueError):
    """A configuration that is not taken. Its text is what the Go client answers, word for word, where that has one:
    it is shown in the dashboard to whoever made the rules."""

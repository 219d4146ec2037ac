"""The one exception that carries a message for the user of a command line."""


class UserError(ValueError):
    """Input from the user that cannot be worked with.

    The message is one sentence that says what is wrong, where, what the limit is, and a way out.
    Command lines print it as ``error: <message>`` and exit with status 2.

    Attributes:
        listed: the message is a sentence and a list under it, a line each.
    """

    listed = False

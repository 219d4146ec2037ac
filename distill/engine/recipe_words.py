"""What the reader of recipes says of a value, in words about settings."""

from __future__ import annotations

import re

from omegaconf.errors import GrammarParseError, OmegaConfBaseException

_KINDS = {"Integer": "whole number", "Float": "number", "Boolean": "true or false"}
_FOLLOWED = r"While dereferencing interpolation '.*?': "
"""What stands before what is wrong with the value of a reference."""
_WORDS: tuple[tuple[str, str], ...] = (
    (r"Value (.*) of type '\w+' could not be converted to (\w+).*", r"\1 is no {\2}"),
    (r"Value (.*) is not a valid bool.*", r"\1 is neither true nor false"),
    (r"Invalid value assigned: (\w+) is not a ListConfig.*", "a list is expected, [a, b]"),
    (r"Invalid type assigned: .* is not a subclass of \w+\. value: (.*)",
     r"settings are expected, {key: value}, not \1"),
    (r"Cannot assign \w+ to Dict.*", "settings are expected, {key: value}"),
    (r"Cannot convert '\w+' to string.*", "a text is expected"),
    (r"Incompatible value 'None' for field.*", "it needs a value"),
    (r".* is not optional and cannot be assigned None", "it needs a value"),
    (r"field '.*' is not Optional.*", "it needs a value"),
    (r".*missing mandatory value.*", "it needs a value"),
    (r"Incompatible key type.*", "a setting has no name"),
    (r"Interpolation key '(.*)' not found.*", r"it refers to a setting '\1', which is not there"),
    (r".*node `(.*)` is not a container and thus cannot contain `(.*)`",
     r"it refers to a setting '\1.\2', which is not there"),
    (r"Recursive interpolation detected.*", "it refers to itself"),
    (r"Unsupported interpolation type (.*)", r"${\1:...} means nothing here"),
    (r".*Environment variable '(.*)' not found.*", r"the environment variable \1 is not set"),
    (r"\w+ raised while resolving interpolation.*", "what it refers to cannot be read"),
)  # fmt: skip
"""What the library says, and what we say."""


def in_our_words(error: OmegaConfBaseException) -> str:
    """What the library says of a value, without its names and the types that Python has for it."""
    if isinstance(error, GrammarParseError):
        return "what follows ${ cannot be read"
    message = " ".join(str(error).split()).partition(" full_key:")[0]
    message = re.sub(f"^{_FOLLOWED}", "", message)
    for theirs, ours in _WORDS:
        found = re.fullmatch(theirs, message)
        if found:
            said = found.expand(ours)
            return re.sub(r"\{(Integer|Float|Boolean)\}", lambda m: _KINDS[m[1]], said)
    return message

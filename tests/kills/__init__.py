"""Random kills of every command that writes: ``python -m tests.kills``."""

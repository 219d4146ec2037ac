"""Command lines, one per file: ``python -m evalkit COMMAND``."""

"""Fuzzing of every reader of files that come from other people: ``python -m tests.fuzz``."""

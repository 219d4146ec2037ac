"""Compiler from an integer checkpoint to a C project for the MAX78000 accelerator."""

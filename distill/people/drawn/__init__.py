"""Drawn people: bodies in space, and how they are drawn."""

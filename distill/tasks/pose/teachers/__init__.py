"""Large networks that the students learn from."""

"""Large networks that the pose students learn from."""

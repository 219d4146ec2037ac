"""Networks that users bring: drawn shapes to try with, and fine-tuning of an imported network."""

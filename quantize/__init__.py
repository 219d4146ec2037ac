"""Float student -> integer student: batch-norm folding, shifts, integer checkpoint."""

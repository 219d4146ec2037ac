"""Settings of a training run that is over in a moment."""

from __future__ import annotations

# One step on a handful of procedural people instead of photographs.
TINY = [
    "train=[{annotations: 'synthetic:4'}]", "validation=[{annotations: 'synthetic:2'}]",
    "epochs=1", "samples_per_epoch=2", "batch=2", "validate_every=1", "workers=0", "size=64",
    "precision=32-true", "accelerator=cpu", "warmup_steps=1",
]  # fmt: skip

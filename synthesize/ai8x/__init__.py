"""Everything about ai8x-synthesis, the public generator: what is written for it, and comparing."""

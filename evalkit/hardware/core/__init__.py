"""The Cortex-M4: execution, cycles, and its own registers."""

"""Peripherals of the microcontroller, one per file."""

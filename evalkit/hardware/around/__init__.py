"""What the boards have around the chip, and how it is wired."""

"""What the chip can run: one rule per limit, and the rewrites that make a graph obey them."""

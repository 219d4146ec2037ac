"""From a placed graph to words on the bus."""

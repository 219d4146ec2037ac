"""The network as a graph: what it is, what it computes, how a hand-written place is noted."""

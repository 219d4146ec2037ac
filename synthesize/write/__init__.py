"""From a program to a C project, and from that to an ARM image."""

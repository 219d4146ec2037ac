"""Files of captured motion: Human3.6M as it is published, and the format of our own."""

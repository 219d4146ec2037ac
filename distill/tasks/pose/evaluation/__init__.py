"""How good networks of the pose task are: crops, whole pictures, films, the chip's own maps."""

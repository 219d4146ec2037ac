"""Networks, their layers and the keypoint codec."""

"""Networks made only of operations the MAX78000 accelerator has, and the keypoint codec."""

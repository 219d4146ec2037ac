"""What flows through the host: pictures in, shots out, recordings of them."""

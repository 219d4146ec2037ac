"""The host's side of the serial line: links to a board, pictures for it, recordings, the viewer."""

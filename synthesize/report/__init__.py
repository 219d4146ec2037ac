"""What a compiled network takes, as a table, as JSON and as a page."""

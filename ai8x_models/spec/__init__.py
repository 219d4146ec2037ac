"""What a student is, as plain data: nothing here loads torch."""

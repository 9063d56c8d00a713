"""One row of the suite a file."""

"""Where remedies and alerts leave: one adapter a file."""

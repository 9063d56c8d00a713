"""`forewarn ingest`: from a provider's files, standard input or webhooks to the two streams."""

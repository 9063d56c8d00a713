"""What analysts may change: strict models, their loader and the YAML that ships."""

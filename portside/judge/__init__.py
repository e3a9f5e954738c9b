"""The judge: is the new release worse than the previous one? It compares what both tell of themselves."""

"""Images: their bases, how they are built, and how they reach a registry or a host."""

"""The central monitoring stack as values: where it is, what it is made of, how it says that it is well."""

"""`invoke demo`: a host, three releases under load, one of them bad, and a report of what came of it."""

"""Who is told of a release, a failure, a rollback: one protocol (base.py), a file per kind of notifier."""

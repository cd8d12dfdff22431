"""The database: one transaction helper, rows, the change log."""

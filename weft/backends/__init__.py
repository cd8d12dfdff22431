"""What makes packets flow; each backend behind the same small interface."""

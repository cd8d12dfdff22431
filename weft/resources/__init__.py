"""What each thing of the Networking API is: one resource, one file."""

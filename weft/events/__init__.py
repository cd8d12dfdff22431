"""What others wait for: consumers of the change log that hand it over to Nova and to the message bus."""

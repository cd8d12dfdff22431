"""What a resource is, and the few verbs that serve all of them."""

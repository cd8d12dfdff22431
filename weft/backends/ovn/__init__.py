"""OVN: the network as rows of its Northbound database, and what its Southbound one says of them."""

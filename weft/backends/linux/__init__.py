"""One Linux host: bridges, nftables, network namespaces."""

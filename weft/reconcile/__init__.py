"""One level-triggered engine for all backends."""

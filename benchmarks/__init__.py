"""Load on a fresh Weft, beside the figures of upstream."""

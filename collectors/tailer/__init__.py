"""Which files there are, which generation of which stream each one is, and their new bytes."""

"""Programs to read, each with a test in ``tests/examples``."""

"""Tests, in the shape of the modules; ``rules`` holds those that try to break the rules that never bend."""

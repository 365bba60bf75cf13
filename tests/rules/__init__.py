"""The rules that never bend: one module each, named after it."""

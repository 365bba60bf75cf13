"""The two engines of state: what must last is in the database, what is short-lived in Redis."""

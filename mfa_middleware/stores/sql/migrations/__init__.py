"""Alembic's migrations, as package data. Never change one that was released: add another."""

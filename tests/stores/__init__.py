"""Tests of the two engines of state."""

"""Families of simulated people, one module each."""

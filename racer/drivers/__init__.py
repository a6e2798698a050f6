"""Whoever acts, from the shown frame alone: the keyboard, simulated people, drivers of the user's own."""

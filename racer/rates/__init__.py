"""Rates: how well coders let simulated people do a task, at how many bits per step."""

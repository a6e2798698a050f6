"""Rates: how far coders let simulated participants drive at how many bits per step."""

"""Rates: how well coders let simulated people do a task, at how many bits per step.

It drives through `racer.loop` and records nothing. Commands import it, and drivers, report and training its seeds and
figures.
"""

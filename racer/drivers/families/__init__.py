"""Families of simulated people, one module each.

A family imports its task and what drivers share, such as `racer.drivers.wheel`, nothing of another family and nothing
of `compression`: who evaluates must not know what was sent. `racer.drivers.registry` loads families by name.
"""

"""The step loop: frame, packet, shown frame, action, outcome; for one person or for many simulated ones.

It knows tasks, drivers and coders by their interfaces, and no particular one. Whatever has somebody act
imports it; it imports neither torch nor h5py.
"""

"""The step loop: frame, packet, shown frame, action, outcome; for one person or for many simulated ones."""

"""One participant at the machine once: what is met in which order, and the place in the study."""

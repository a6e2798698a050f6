"""CarRacing as a steering task."""

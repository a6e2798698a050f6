"""From recordings to fitted files."""

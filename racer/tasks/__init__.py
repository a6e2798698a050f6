"""What people do: one folder for each task."""

"""What is fitted to behaviour, and its file."""

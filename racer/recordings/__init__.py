"""Looking after recordings: listing, verifying, replaying, exporting, withdrawing."""

"""A running study, looked at: who sits where and how far they are. Nothing here changes a recording."""

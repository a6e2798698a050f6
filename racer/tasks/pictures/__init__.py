"""Single pictures under a question: `digits`, `vehicles` and `faces`, and pictures of the user's own.

`worlds.py` says what a world of pictures is, a module each draws one, and `task.py` makes tasks of them.
"""

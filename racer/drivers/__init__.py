"""Whoever acts, from the shown frame alone: the keyboard, simulated people, drivers of the user's own.

Besides tasks themselves, only modules here may import a particular task. Whatever needs somebody to act imports
`driver` and `registry`, and finds families by their names.
"""

"""`racer doctor`: checks of the machine before a participant sits down.

It looks at tasks, studies and windows and changes nothing; only commands import it.
"""

"""CarRacing as a steering task: `task` says what it is, `track` runs it.

Only drivers import modules of this folder; everything else knows the task by its spec.
"""

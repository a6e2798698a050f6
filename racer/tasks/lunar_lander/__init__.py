"""Gymnasium's LunarLander as a task: `task` says what it is, `flight` runs it, `view` draws it, `sight` reads frames.

Only drivers import modules of this folder; everything else knows the task by its spec.
"""

"""What people do: one folder for each task.

Everybody imports `task` and `registry`, which need neither torch, pygame nor gymnasium. A task's own folder is loaded
by name; only drivers import it by module.
"""

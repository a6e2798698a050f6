"""The commands of the command line, a module for each group.

They read what is typed, call the other packages inside of functions, so that `racer --help` loads none of the heavy
ones, and print. Only `racer.cli` imports them.
"""

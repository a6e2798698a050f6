"""One participant at the machine once: what is met in which order, and the place in the study.

It joins task, channel, driver, window and recorder. Studies and commands start sittings; the loop, recordings and
the window import its plans and questionnaires alone.
"""

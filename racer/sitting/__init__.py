"""One sitting of one participant: what they meet in which order, and their place in the study.

It joins task, channel, driver, window and recorder. Studies and commands start sittings; the loop, recordings and
the window import its plans and questionnaires alone.
"""

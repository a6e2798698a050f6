"""The participant's window: what is drawn, what keys and clicks do. All of pygame's windows are here.

It is given frames, pages and texts and knows no particular task and no coder. Sittings, studies, the doctor and
replays import it.
"""

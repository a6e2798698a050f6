"""Racer: a desktop harness for studying pragmatic image compression in sequential tasks.

What people touch lives here: commands, tasks, drivers, the step loop, sittings, studies, the window, and what is done
with recordings. It imports `compression` and `sessions`, which import nothing of it.
"""

import os

__version__ = "0.2.0"

# pygame greets on stdout when it is first imported; stdout belongs to the commands.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

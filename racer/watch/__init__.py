"""A running study, looked at: who sits where and how far they are. Nothing here changes a recording.

It asks `racer.study` and the leases of `racer.sitting`; only commands import it.
"""

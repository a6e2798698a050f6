"""The two doors to the disk: `reading`, for files that may come from anyone, and `writing`, whole or not at all.

`locking` keeps other processes out meanwhile.

`racer`, `sessions` and `compression` open, make and rename files through these alone. It imports none of them, and
nothing outside of the standard library.
"""

"""A study's analysis and its report: recordings in, numbers, figures and one self-contained page out.

recordings.py    the evaluation sittings of a folder, and what is left out of them
statistics.py    tests and effect sizes on tables of participants by conditions
study.py         everything that a report says, as one object of plain numbers and texts
behaviour.py     its parts: actions, masks, learning; answers.py, timing.py and provenance.py the others
figures.py       pictures with their numbers, on drawing.py; strips.py and traversals.py those of frames
page.py          the page, of report.html.j2; wording.py and caveats.py what it says in words
write.py         the page and its files on disk
terminal.py      the short form

It changes no recording. Commands and studies have reports made; rates, recordings and training import
its figures and words.
"""

"""Studies: the study file, their sittings, simulated runs, and where they stand.

It reads `study.toml` as data and has sittings, training and reports done. Commands, doctor, watch, report and
recordings import it; it imports no particular task.
"""

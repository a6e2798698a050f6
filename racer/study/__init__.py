"""Studies: the study file, their sittings, simulated runs, and where they stand."""

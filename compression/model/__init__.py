"""The latent model: networks, quantiser, training from frames.

All else in `compression` may import it. It imports how fitted files say whose they are; only `training`, which fits
what ships beside a model, imports more of coders and fitting.
"""

"""From recordings to fitted files, and from frames to latent models.

The networks themselves are in `compression`; here is what they are trained on, and what is written. Commands and
studies import it, rates, recordings and reports its pictures and seeds. It imports no torch.
"""

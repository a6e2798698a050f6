"""Fitting to behaviour: masks, tables of coders and agents, and the file format that they share.

It is given latents and actions as arrays, whoever recorded them. Coders and `racer` import it; of all packages here it
imports coders and latent model alone.
"""

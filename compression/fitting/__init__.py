"""What is fitted to behaviour, and its file.

It is given latents and actions as arrays, whoever recorded them. Coders and `racer` import it; of all packages here it
imports coders and latent model alone.
"""

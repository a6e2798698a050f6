"""What crosses the channel: latent models, coders and their packets, the two ends, and what is fitted to behaviour.

It knows no task, no person and no recording: it is given frames, latents, actions as numbers, and the file of a latent
model, from which all sizes follow. It imports neither `racer` nor `sessions`; anybody may import it.
"""

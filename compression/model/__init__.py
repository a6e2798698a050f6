"""The latent model: networks, quantiser, training from frames."""

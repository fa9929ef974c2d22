"""Training the backbones themselves: autoencoder, CLIP and diffusion model, in stock classes and the hub's layout."""

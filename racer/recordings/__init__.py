"""Looking after recordings: listing, verifying, replaying, exporting, withdrawing.

It opens files through `sessions`, never h5py itself, and finds a recording's task and latent model by name and hash.
Commands, reports, training and the fitting of drivers import it; whatever records does not.
"""

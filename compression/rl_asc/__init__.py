"""RL-ASC: frames as semantic concepts, whose bits an agent allots (Huang, Gao, Tao, Du and Lu, arXiv 2208.04094).

`networks` holds what both ends compute, `concepts` the bits between them, `training` the three stages, `measures` what
is lost. The coder itself is `compression.coders.rl_asc`.
"""

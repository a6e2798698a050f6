"""RL-ASC: frames as semantic concepts, whose bits an agent allots (Huang, Gao, Tao, Du and Lu, arXiv 2208.04094).

`networks` and `codec` hold what both ends compute, `concepts` the bits between them. `training` has the three stages,
made of `labelling`, `soft_coder` and `judge`; `counting` makes the tables at their end; `measures` says what is lost.
The coder itself is `compression.coders.rl_asc`.
"""

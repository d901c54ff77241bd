"""Training: the compiled loop, L-BFGS, and the stages that put them together."""

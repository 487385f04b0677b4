//! Training: losses, optimisers, data sets, checkpoints.

//! Training: recipe, loop, checkpoints, metrics.
#![forbid(unsafe_code)]

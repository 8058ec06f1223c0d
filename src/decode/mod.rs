//! From log probabilities to phones. Plain slices, no tensors.
#![forbid(unsafe_code)]

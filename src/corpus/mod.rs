//! Which utterances there are, in which order they come, and as which batches.
#![forbid(unsafe_code)]

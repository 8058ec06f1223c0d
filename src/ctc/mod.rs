//! Connectionist temporal classification: the loss and its gradient, and forced alignment.
#![forbid(unsafe_code)]

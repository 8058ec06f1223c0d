//! The front end: from samples to frames of log-mel energies, deltas and normalisation.
#![forbid(unsafe_code)]

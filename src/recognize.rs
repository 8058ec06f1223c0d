//! The whole pipeline in one call: a waveform in, hypotheses out.
#![forbid(unsafe_code)]

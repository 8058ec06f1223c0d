//! Layers put together, and the file they live in.
#![forbid(unsafe_code)]

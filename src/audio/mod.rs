//! Recordings: from the bytes of a file to mono samples at one rate.
#![forbid(unsafe_code)]

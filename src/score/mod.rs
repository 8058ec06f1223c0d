//! Phone error rates: edit distance, totals, confusions.
#![forbid(unsafe_code)]

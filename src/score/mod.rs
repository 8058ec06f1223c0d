//! Phone error rates: edit distance, totals, confusions.
#![forbid(unsafe_code)]

mod edit;
mod report;

pub use edit::{Edit, align};
pub use report::{Report, Score};

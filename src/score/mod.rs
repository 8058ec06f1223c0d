//! Phone error rates: protocols, edit distance, totals, confusions, and how far the figures can be trusted.
#![forbid(unsafe_code)]

mod compare;
mod edit;
mod interval;
mod protocol;
mod report;

pub use compare::{Comparison, compare};
pub use edit::{Convention, Edit, align};
pub use interval::{FEWEST, interval};
pub use protocol::{Protocol, Silence};
pub use report::{Report, Score};

//! The recurrent layer: one operation for a whole sequence, both directions, all utterances of a batch.
//!
//! A cell (one file in [`cells`]) is its pointwise step and derivative and nothing else. Everything around it is
//! written once: the loop over time, lengths, directions, the product with the recurrent weights, what is kept for
//! the backward pass. [`mod@reference`] is the plain definition in f64; [`cpu`] is the fast path in f32 and must agree
//! with it. [`op`] joins them to candle: f64 tensors go through the reference, f32 tensors through the fast path.
#![forbid(unsafe_code)]

pub mod carry;
#[cfg(test)]
mod cases;
pub mod cells;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod lane;
pub mod op;
#[cfg(feature = "cuda")]
pub mod plan;
pub mod problem;
pub mod reference;
#[cfg(test)]
mod trace;

pub use carry::Carry;
pub use cells::CellKind;
pub use op::{Prepared, Weights, recurrent};

//! Trainable parts on candle tensors. Knows nothing of speech.
//!
//! Tensors are packed, `[N, F]`: see [`crate::lengths`].

pub mod banded;
pub mod collect;
pub mod dropout;
#[cfg(feature = "cuda")]
pub mod gpu;
pub mod linear;
pub mod matrix;
pub mod memory;
pub mod mlstm;
pub mod noise;
pub mod norm;
pub mod op;
pub mod optim;
pub mod panels;
pub mod panels8;
pub mod params;
pub mod patches;
pub mod product;
pub mod recurrent;
pub mod relu;
pub mod simd;
pub mod skip;
pub mod softmax;
pub mod sums;

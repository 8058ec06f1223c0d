//! Connections around a layer: what it makes of its input joins the input itself.
#![forbid(unsafe_code)]

use super::linear::linear;
use candle_core::{Result, Tensor};
use candle_nn::ops::sigmoid;

/// `x + y` (He et al. 2016).
pub fn residual(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    x + y
}

/// `t y + (1 - t) x` with `t = σ(x w^T + b)` (Srivastava et al. 2015): `w` `[F, F]`, `b` `[F]`.
pub fn highway(x: &Tensor, y: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
    let t = sigmoid(&linear(x, w, b)?)?;
    x + (t * (y - x)?)?
}

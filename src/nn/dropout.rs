//! Dropout (Srivastava et al. 2014), scaled at training time, drawn from our own generator so that runs repeat.
#![forbid(unsafe_code)]

use super::op;
use crate::rng::Rng;
use candle_core::{Result, Tensor};

/// Each number of `x` is zero with probability `rate` and otherwise multiplied by `1 / (1 - rate)`.
pub fn dropout(x: &Tensor, rate: f32, rng: &mut Rng) -> Result<Tensor> {
    if rate <= 0.0 {
        return Ok(x.clone());
    }
    let threshold = (f64::from(rate) * 65536.0) as u64;
    let keep = 1.0 / (1.0 - rate);
    let mut mask = Vec::with_capacity(x.elem_count() + 3);
    while mask.len() < x.elem_count() {
        // Four draws of 16 bits from each number of the generator.
        let bits = rng.next_u64();
        mask.extend((0..4).map(|i| if (bits >> (16 * i)) & 0xffff < threshold { 0.0 } else { keep }));
    }
    mask.truncate(x.elem_count());
    x.mul(&op::from_vec::<f32>(mask, x.shape().clone())?.to_device(x.device())?.to_dtype(x.dtype())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn keeps_the_mean_and_zeroes_the_share() -> Result<()> {
        let x = Tensor::ones((100, 101), DType::F32, &Device::Cpu)?;
        let y = op::to_vec::<f32>(&dropout(&x, 0.25, &mut Rng::stream(1, "dropout", 0))?)?;
        let zeros = y.iter().filter(|v| **v == 0.0).count() as f32 / y.len() as f32;
        assert!((zeros - 0.25).abs() < 0.02, "{zeros}");
        assert!(y.iter().all(|v| *v == 0.0 || (*v - 4.0 / 3.0).abs() < 1e-6));
        Ok(())
    }
}

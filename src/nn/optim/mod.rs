//! Optimisers: Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019), and SGD with momentum.
//! Gradients are clipped by their common norm. All sums run in a fixed order.
#![forbid(unsafe_code)]

#[cfg(feature = "cuda")]
mod cuda;

#[cfg(feature = "cuda")]
pub use cuda::{Norm, Resident, Step as ResidentStep};

use super::op;
use super::params::Params;
use super::simd::Path;
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor, bail};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Which rule, and its constants.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Optimizer {
    /// Adam; AdamW with `weight_decay` above zero.
    Adam {
        /// Decay of the mean of gradients.
        #[serde(default = "beta1")]
        beta1: f32,
        /// Decay of the mean of squared gradients.
        #[serde(default = "beta2")]
        beta2: f32,
        /// Added to the root.
        #[serde(default = "epsilon")]
        epsilon: f32,
        /// Share of the weight taken off at each step, times the learning rate.
        #[serde(default)]
        weight_decay: f32,
    },
    /// Gradient descent with classical momentum.
    Sgd {
        /// Share of the last step that is kept.
        #[serde(default)]
        momentum: f32,
    },
}

fn beta1() -> f32 {
    0.9
}
fn beta2() -> f32 {
    0.999
}
fn epsilon() -> f32 {
    1e-8
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::Adam { beta1: beta1(), beta2: beta2(), epsilon: epsilon(), weight_decay: 0.0 }
    }
}

/// Gradients by parameter, in the parameters' order.
pub type Gradients = BTreeMap<String, Tensor>;

/// Takes the gradients of `params` out of candle's store; a parameter that the loss does not reach has none.
pub fn gradients(params: &Params, store: &GradStore) -> Result<Gradients> {
    let found = params.iter().filter_map(|(name, var)| store.get(var).map(|gradient| (name, gradient)));
    found.map(|(name, gradient)| Ok((name.to_owned(), gradient.contiguous()?))).collect()
}

/// Numbers that a thread takes at a time. Sums are made within such blocks, then over them.
const BLOCK: usize = 1 << 16;

/// The Euclidean norm of all gradients together.
pub fn norm(gradients: &Gradients) -> Result<f64> {
    let square = |gradient| {
        op::with_slice(gradient, |values: &[f32]| {
            let blocks = values.par_chunks(BLOCK).map(|block| Path::current().dispatch(Squares(block)));
            blocks.collect::<Vec<f64>>().iter().sum::<f64>()
        })
    };
    Ok(gradients.values().map(square).sum::<Result<f64>>()?.sqrt())
}

/// The sum of squares, by sixteens.
struct Squares<'a>(&'a [f32]);

impl WithSimd for Squares<'_> {
    type Output = f64;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let mut sums = [0.0_f64; 16];
        for some in self.0.chunks(sums.len()) {
            sums.iter_mut().zip(some).for_each(|(sum, v)| *sum += f64::from(*v) * f64::from(*v));
        }
        sums.iter().sum()
    }
}

/// An optimiser with its memory.
#[derive(Clone, Debug)]
pub struct OptimizerState {
    /// The rule.
    pub rule: Optimizer,
    /// Updates made so far.
    pub step: u64,
    /// By parameter: the mean of gradients (Adam) or the last step (SGD).
    pub first: BTreeMap<String, Vec<f32>>,
    /// By parameter: the mean of squared gradients (Adam).
    pub second: BTreeMap<String, Vec<f32>>,
}

impl OptimizerState {
    /// Nothing remembered yet.
    pub fn new(rule: Optimizer) -> Self {
        Self { rule, step: 0, first: BTreeMap::new(), second: BTreeMap::new() }
    }

    /// One update with learning rate `rate`, every gradient multiplied by `scale` first.
    pub fn update(&mut self, params: &Params, gradients: &Gradients, rate: f32, scale: f32) -> Result<()> {
        self.step += 1;
        for (name, var) in params.iter() {
            let Some(gradient) = gradients.get(name) else { continue };
            let memory = || vec![0.0; var.elem_count()];
            let first = self.first.entry(name.to_owned()).or_insert_with(memory).as_mut_slice();
            let second = match self.rule {
                Optimizer::Adam { .. } => self.second.entry(name.to_owned()).or_insert_with(memory).as_mut_slice(),
                Optimizer::Sgd { .. } => &mut [],
            };
            let moments = RefCell::new((first, second));
            let step = Step { rule: &self.rule, number: self.step, rate, scale };
            var.inplace_op1(&Update { step, gradient, moments })?;
        }
        Ok(())
    }
}

/// What is the same for all numbers of an update.
#[derive(Clone, Copy)]
struct Step<'a> {
    rule: &'a Optimizer,
    number: u64,
    rate: f32,
    scale: f32,
}

/// The update of one parameter, where it lies.
struct Update<'a> {
    step: Step<'a>,
    gradient: &'a Tensor,
    moments: RefCell<(&'a mut [f32], &'a mut [f32])>,
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "update"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(weights), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            bail!("parameters are contiguous and f32")
        };
        let (weights, mut moments) = (&mut weights[start..end], self.moments.borrow_mut());
        let ((first, second), step) = (&mut *moments, self.step);
        op::with_slice(self.gradient, |gradient: &[f32]| {
            let blocks = weights.par_chunks_mut(BLOCK).zip(first.par_chunks_mut(BLOCK)).zip(gradient.par_chunks(BLOCK));
            match step.rule {
                Optimizer::Adam { .. } => blocks.zip(second.par_chunks_mut(BLOCK)).for_each(|(((w, m), g), v)| {
                    Path::current().dispatch(Block(step, w, m, v, g));
                }),
                Optimizer::Sgd { .. } => {
                    blocks.for_each(|((w, m), g)| Path::current().dispatch(Block(step, w, m, &mut [], g)));
                }
            }
        })
    }
}

/// Weights, first and second moments, and gradients.
struct Block<'a>(Step<'a>, &'a mut [f32], &'a mut [f32], &'a mut [f32], &'a [f32]);

impl WithSimd for Block<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self(Step { rule, number, rate, scale }, weights, first, second, gradient) = self;
        match *rule {
            Optimizer::Adam { beta1, beta2, epsilon, weight_decay } => {
                let corrected = |beta: f32| (1.0 - f64::from(beta).powf(number as f64)) as f32;
                let (step, root) = (rate / corrected(beta1), corrected(beta2).sqrt().recip());
                let shrink = 1.0 - rate * weight_decay;
                for (((w, m), v), g) in weights.iter_mut().zip(first).zip(second).zip(gradient) {
                    let g = g * scale;
                    *m = beta1 * *m + (1.0 - beta1) * g;
                    *v = beta2 * *v + (1.0 - beta2) * g * g;
                    *w = *w * shrink - step * *m / (v.sqrt() * root + epsilon);
                }
            }
            Optimizer::Sgd { momentum } => {
                for ((w, m), g) in weights.iter_mut().zip(first).zip(gradient) {
                    *m = momentum * *m - rate * g * scale;
                    *w += *m;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn minimise(rule: Optimizer, rate: f32) -> Result<f32> {
        let mut params = Params::default();
        params.insert_vec("x", vec![3.0, -2.0], &[2], &Device::Cpu)?;
        let mut state = OptimizerState::new(rule);
        for _ in 0..500 {
            let store = params.get("x")?.sqr()?.sum_all()?.backward()?;
            state.update(&params, &gradients(&params, &store)?, rate, 1.0)?;
        }
        Ok(op::to_vec::<f32>(params.get("x")?)?.iter().map(|x| x.abs()).sum())
    }

    #[test]
    fn both_rules_find_the_minimum() -> Result<()> {
        assert!(minimise(Optimizer::default(), 0.05)? < 1e-3);
        assert!(minimise(Optimizer::Sgd { momentum: 0.9 }, 0.01)? < 1e-3);
        Ok(())
    }

    #[test]
    fn the_first_adam_step_is_the_learning_rate() -> Result<()> {
        let mut params = Params::default();
        params.insert_vec("x", vec![1.0], &[1], &Device::Cpu)?;
        let gradients = Gradients::from([("x".to_owned(), Tensor::from_slice(&[123.0_f32], 1, &Device::Cpu)?)]);
        OptimizerState::new(Optimizer::default()).update(&params, &gradients, 0.1, 1.0)?;
        assert!((op::to_vec::<f32>(params.get("x")?)?[0] - 0.9).abs() < 1e-6);
        Ok(())
    }
}

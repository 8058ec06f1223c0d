//! Optimisers: Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019), and SGD with momentum.
//! Gradients are clipped by their common norm. All sums run in a fixed order.
#![forbid(unsafe_code)]

use super::op;
use super::params::Params;
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};
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
pub type Gradients = BTreeMap<String, Vec<f32>>;

/// Takes the gradients of `params` out of candle's store; a parameter that the loss does not reach has none.
pub fn gradients(params: &Params, store: &GradStore) -> Result<Gradients> {
    let found = params.iter().filter_map(|(name, var)| store.get(var).map(|gradient| (name, gradient)));
    found.map(|(name, gradient)| Ok((name.to_owned(), op::to_vec(gradient)?))).collect()
}

/// The Euclidean norm of all gradients together.
pub fn norm(gradients: &Gradients) -> f64 {
    let square = |values: &Vec<f32>| values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>();
    gradients.values().map(square).sum::<f64>().sqrt()
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
            let mut values: Vec<f32> = op::to_vec(var)?;
            let first = self.first.entry(name.to_owned()).or_insert_with(|| vec![0.0; values.len()]);
            match self.rule {
                Optimizer::Adam { beta1, beta2, epsilon, weight_decay } => {
                    let second = self.second.entry(name.to_owned()).or_insert_with(|| vec![0.0; values.len()]);
                    let corrected = |beta: f32| (1.0 - f64::from(beta).powf(self.step as f64)) as f32;
                    let (step, root) = (rate / corrected(beta1), corrected(beta2).sqrt().recip());
                    let shrink = 1.0 - rate * weight_decay;
                    for (((w, m), v), g) in values.iter_mut().zip(first).zip(second).zip(gradient) {
                        let g = g * scale;
                        *m = beta1 * *m + (1.0 - beta1) * g;
                        *v = beta2 * *v + (1.0 - beta2) * g * g;
                        *w = *w * shrink - step * *m / (v.sqrt() * root + epsilon);
                    }
                }
                Optimizer::Sgd { momentum } => {
                    for ((w, m), g) in values.iter_mut().zip(first).zip(gradient) {
                        *m = momentum * *m - rate * g * scale;
                        *w += *m;
                    }
                }
            }
            var.set(&Tensor::from_vec(values, var.shape().clone(), var.device())?)?;
        }
        Ok(())
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
        let gradients = Gradients::from([("x".to_owned(), vec![123.0])]);
        OptimizerState::new(Optimizer::default()).update(&params, &gradients, 0.1, 1.0)?;
        assert!((op::to_vec::<f32>(params.get("x")?)?[0] - 0.9).abs() < 1e-6);
        Ok(())
    }
}

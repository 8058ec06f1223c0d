//! Gradients of parameters, taken as they are found.
//!
//! candle's backward pass adds every gradient to a tensor of zeros: two passes over memory, and on a GPU two launches, for
//! each parameter. While a [`Collector`] is there, the operations of this library hand the gradients of variables over to
//! it instead; without one they do as candle expects.
#![forbid(unsafe_code)]

use super::optim::Gradients;
use super::params::Params;
use candle_core::{Result, Tensor, TensorId};
use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    static FOUND: RefCell<Option<HashMap<TensorId, Tensor>>> = const { RefCell::new(None) };
}

/// Collects on this thread, from the forward pass on, until it is dropped.
pub struct Collector(());

impl Collector {
    /// Begins.
    #[expect(clippy::new_without_default, reason = "it begins something")]
    pub fn new() -> Self {
        FOUND.set(Some(HashMap::new()));
        Self(())
    }

    /// The gradients of `params` that `loss` has, which must have been computed since the collector began. A parameter that
    /// it does not reach has none.
    pub fn gradients(self, loss: &Tensor, params: &Params) -> Result<Gradients> {
        let store = loss.backward()?;
        let mut found = FOUND.take().unwrap_or_default();
        let mut gradients = Gradients::new();
        for (name, var) in params.iter() {
            let gradient = match (found.remove(&var.id()), store.get(var)) {
                (Some(a), Some(b)) => Some((a + b)?),
                (a, b) => a.or_else(|| b.cloned()),
            };
            if let Some(gradient) = gradient {
                gradients.insert(name.to_owned(), gradient.contiguous()?);
            }
        }
        Ok(gradients)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        FOUND.set(None);
    }
}

/// Whether the gradients of all these are collected: they are variables, and there is a collector.
pub fn collects<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> bool {
    FOUND.with_borrow(Option::is_some) && tensors.into_iter().all(Tensor::is_variable)
}

/// What an operation's backward pass returns as the gradient of `of`: nothing if the collector has taken it.
pub fn offer(of: &Tensor, gradient: Tensor) -> Result<Option<Tensor>> {
    if !collects([of]) {
        return Ok(Some(gradient));
    }
    FOUND.with_borrow_mut(|found| -> Result<()> {
        let Some(found) = found else { return Ok(()) };
        let sum = match found.remove(&of.id()) {
            Some(other) => (other + gradient)?,
            None => gradient,
        };
        found.insert(of.id(), sum);
        Ok(())
    })?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lengths::Lengths;
    use crate::nn::linear::linear;
    use crate::nn::op;
    use crate::nn::recurrent::{CellKind, Weights, recurrent};
    use candle_core::Device;

    /// A parameter that is used twice, one that is used by a recurrent layer, and one that is used by candle's own.
    #[test]
    fn finds_what_candle_finds() -> Result<()> {
        let mut params = Params::default();
        let values = |n: usize| (0..n).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>();
        for (name, shape) in
            [("w", vec![3, 3]), ("b", vec![3]), ("cw", vec![12, 3]), ("cb", vec![12]), ("cr", vec![1, 12, 3])]
        {
            params.insert_vec(name, values(shape.iter().product()), &shape, &Device::Cpu)?;
        }
        let x = Tensor::from_vec(values(15), (5, 3), &Device::Cpu)?;
        let loss = || -> Result<Tensor> {
            let get = |name: &str| params.get(name).cloned();
            let y = linear(&linear(&x, &get("w")?, &get("b")?)?, &get("w")?, &get("b")?)?;
            let weights = Weights { w: get("cw")?, b: get("cb")?, r: Some(get("cr")?), aux: None };
            let y = recurrent(CellKind::Lstm, 1, &y, &weights, None, &Lengths::new(&[3, 2]))?;
            y.matmul(&get("w")?)?.sqr()?.sum_all()
        };
        let plain = super::super::optim::gradients(&params, &loss()?.backward()?)?;
        let collector = Collector::new();
        let collected = collector.gradients(&loss()?, &params)?;
        assert_eq!(plain.len(), 5);
        assert_eq!(collected.len(), 5);
        for (name, gradient) in &plain {
            let (a, b): (Vec<f32>, Vec<f32>) = (op::to_vec(gradient)?, op::to_vec(&collected[name])?);
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4 * a.abs().max(1.0)), "{name}: {a:?} {b:?}");
        }
        assert!(!collects([params.get("w")?]), "it ends with the gradients");
        Ok(())
    }
}

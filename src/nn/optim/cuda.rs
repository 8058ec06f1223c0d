//! The optimiser on a GPU: `kernels/optim.cu`. Moments and the running average of the weights stay there from step to
//! step; nothing is read back unless it is asked for.
#![forbid(unsafe_code)]

use super::{Gradients, Optimizer, OptimizerState};
use crate::cuda::{Argument, Call, Grid, Kernel};
use crate::nn::gpu;
use crate::nn::params::Params;
use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::{CudaDevice, Result, Tensor};
use std::collections::BTreeMap;

/// Numbers of a chunk: the work of a block.
const CHUNK: usize = 4096;
const THREADS: usize = 256;

type Numbers = BTreeMap<String, CudaSlice<f32>>;

/// See the module.
pub struct Resident {
    device: CudaDevice,
    first: Numbers,
    second: Numbers,
    average: Numbers,
    /// Whether there was no average yet: it begins as the weights after the first update.
    begins: bool,
    /// `[chunks, 3]`: parameter, first number, count.
    chunks: CudaSlice<i32>,
    count: usize,
    partial: CudaSlice<f32>,
}

/// The norm of a gradient, on the GPU.
pub struct Norm(CudaDevice, CudaSlice<f32>);

impl Norm {
    /// Waits for it.
    pub fn read(&self) -> Result<f64> {
        Ok(f64::from(self.0.clone_dtoh(&self.1)?[0]))
    }
}

/// What an update does beside the optimiser's rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The learning rate.
    pub rate: f32,
    /// Gradients are scaled down to this norm; 0: never.
    pub limit: f32,
    /// Share of the running average that goes over to the new weights.
    pub follow: f32,
}

impl Resident {
    /// What `state` remembers, and the running average if one is kept.
    pub fn new(params: &Params, state: &OptimizerState, average: Option<&BTreeMap<String, Vec<f32>>>) -> Result<Self> {
        let device = params.device().as_cuda_device()?.clone();
        let call = Call(&device);
        let uploaded = |from: &BTreeMap<String, Vec<f32>>| -> Result<Numbers> {
            let one = |(name, var): (&str, &candle_core::Var)| {
                let numbers = match from.get(name) {
                    Some(numbers) => call.upload(numbers)?,
                    None => call.zeros(var.elem_count())?,
                };
                Ok((name.to_owned(), numbers))
            };
            params.iter().map(one).collect()
        };
        let weights = |params: &Params| -> Result<BTreeMap<String, Vec<f32>>> {
            params.iter().map(|(name, var)| Ok((name.to_owned(), crate::nn::op::to_vec(var)?))).collect()
        };
        let begins = average.is_some_and(BTreeMap::is_empty);
        let average = match average {
            Some(average) if average.is_empty() => uploaded(&weights(params)?)?,
            Some(average) => uploaded(average)?,
            None => Numbers::new(),
        };
        let of_parameter = |(n, (_, var)): (usize, (&str, &candle_core::Var))| {
            let size = var.elem_count();
            (0..size).step_by(CHUNK).map(move |first| [n, first, CHUNK.min(size - first)]).collect::<Vec<_>>()
        };
        let chunks: Vec<[usize; 3]> = params.iter().enumerate().flat_map(of_parameter).collect();
        let count = chunks.len();
        let chunks: Vec<i32> = chunks.into_iter().flatten().map(|n| n as i32).collect();
        Ok(Self {
            first: uploaded(&state.first)?,
            second: match state.rule {
                Optimizer::Adam { .. } => uploaded(&state.second)?,
                Optimizer::Sgd { .. } => Numbers::new(),
            },
            average,
            begins,
            chunks: call.upload(&chunks)?,
            count,
            partial: call.zeros(count)?,
            device: device.clone(),
        })
    }

    /// Update number `number` by `rule`, in two launches; returns the norm of the gradient before it was scaled. One that is
    /// not finite changes nothing.
    pub fn update(
        &mut self,
        (rule, number): (&Optimizer, u64),
        params: &Params,
        gradients: &Gradients,
        step: Step,
    ) -> Result<Norm> {
        let call = Call(&self.device);
        let follow = if std::mem::take(&mut self.begins) { 1.0 } else { step.follow };
        let at = |numbers: &Numbers, name: &str| numbers.get(name).map_or(0, |numbers| call.address(numbers));
        let address = |tensor: &Tensor| gpu::with([tensor], |call, [view]| Ok(call.address(&view)));
        let mut table: Vec<u64> = Vec::new();
        for (name, var) in params.iter() {
            let gradient = gradients.get(name).map(address).transpose()?.unwrap_or(0);
            table.extend([address(var)?, gradient]);
            table.extend([&self.first, &self.second, &self.average].map(|numbers| at(numbers, name)));
        }
        let table = call.upload(&table)?;
        let grid = Grid { blocks: self.count, threads: THREADS, shared: 2 * THREADS, cooperative: false };
        call.launch(Kernel("optim", "squares"), grid, &[&table, &self.chunks, &self.partial])?;
        let (name, numbers) = match *rule {
            Optimizer::Adam { beta1, beta2, epsilon, weight_decay } => {
                let corrected = |beta: f32| (1.0 - f64::from(beta).powf(number as f64)) as f32;
                let (rate, root) = (step.rate / corrected(beta1), corrected(beta2).sqrt().recip());
                let shrink = 1.0 - step.rate * weight_decay;
                ("adam", [rate, root, shrink, step.limit, beta1, beta2, epsilon, follow])
            }
            Optimizer::Sgd { momentum } => ("sgd", [step.rate, 1.0, 1.0, step.limit, momentum, 0.0, 0.0, follow]),
        };
        let (blocks, norm) = (self.count as i32, call.room(1)?);
        let arguments: [&dyn Argument; 6] = [&table, &self.chunks, &blocks, &self.partial, &numbers, &norm];
        call.launch(Kernel("optim", name), grid, &arguments)?;
        Ok(Norm(self.device.clone(), norm))
    }

    /// Copies everything to the host.
    pub fn download(&self, state: &mut OptimizerState, average: &mut BTreeMap<String, Vec<f32>>) -> Result<()> {
        let host = |numbers: &Numbers| -> Result<BTreeMap<String, Vec<f32>>> {
            numbers.iter().map(|(name, numbers)| Ok((name.clone(), self.device.clone_dtoh(numbers)?))).collect()
        };
        (state.first, state.second, *average) = (host(&self.first)?, host(&self.second)?, host(&self.average)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::optim::norm;
    use crate::rng::Rng;
    use candle_core::Device;

    /// Ten updates of two parameters on either device, the second without a gradient at times.
    #[test]
    fn does_what_the_cpu_does() -> Result<()> {
        let Some(device) = crate::cuda::for_tests() else { return Ok(()) };
        for rule in [Optimizer::default(), Optimizer::Sgd { momentum: 0.9 }] {
            let mut rng = Rng::stream(1, "optimiser", 0);
            let mut random = |n: usize| (0..n).map(|_| rng.normal()).collect::<Vec<f32>>();
            let sizes = [("a", 5000), ("b", 7)];
            let mut host = Params::default();
            for (name, size) in sizes {
                host.insert_vec(name, random(size), &[size], &Device::Cpu)?;
            }
            let there = host.to_device(&device)?;
            let mut state = OptimizerState::new(rule.clone());
            let mut resident = Resident::new(&there, &state, Some(&BTreeMap::new()))?;
            for number in 1..=10 {
                let mut gradients = [Gradients::new(), Gradients::new()];
                for (name, size) in sizes.into_iter().take(if number % 3 == 0 { 1 } else { 2 }) {
                    let values = random(size);
                    for (gradients, device) in gradients.iter_mut().zip([&Device::Cpu, &device]) {
                        gradients.insert(name.to_owned(), Tensor::from_slice(&values, size, device)?);
                    }
                }
                let length = norm(&gradients[0])?;
                state.update(&host, &gradients[0], 0.01, (10.0 / length).min(1.0) as f32)?;
                let step = Step { rate: 0.01, limit: 10.0, follow: 1.0 };
                let norm = resident.update((&rule, number), &there, &gradients[1], step)?;
                assert!((norm.read()? - length).abs() < 1e-3 * length);
            }
            let (mut other, mut average) = (OptimizerState::new(rule), BTreeMap::new());
            resident.download(&mut other, &mut average)?;
            let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
            for (name, var) in host.iter() {
                let (own, theirs): (Vec<f32>, Vec<f32>) =
                    (crate::nn::op::to_vec(var)?, crate::nn::op::to_vec(there.get(name)?)?);
                assert!(near(&own, &theirs), "{name}");
                assert!(near(&state.first[name], &other.first[name]), "{name}");
                // It follows all the way, and stands still with a parameter that has no gradient.
                assert!(near(&average[name], &theirs) || name == "b", "{name}");
            }
            assert_eq!(state.second.len(), other.second.len());
        }
        Ok(())
    }
}

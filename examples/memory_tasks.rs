//! What each cell can remember: the adding problem, copying after a pause, and counting (a^n b^n c^n), as the papers that
//! introduced the cells had them. Prints a table for docs/memory.md.
//!
//! cargo run --release --example memory_tasks [--quick] [CELL ...]

use candle_core::{Device, Tensor};
use candle_nn::loss::{binary_cross_entropy_with_logit, cross_entropy};
use formant::features::FrontEnd;
use formant::lengths::Lengths;
use formant::model::{LayerCell, LayerConfig, Mode, ModelConfig, Network};
use formant::nn::memory::keep_freed_memory;
use formant::nn::optim::{Optimizer, OptimizerState, gradients, norm};
use formant::nn::params::Params;
use formant::rng::Rng;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const BATCH: usize = 32;

/// A unidirectional layer and a linear one, and how they learn.
struct Learner {
    network: Network,
    optimizer: OptimizerState,
}

impl Learner {
    /// `lag` is the longest time over which something is to be remembered. Gates begin so that the cell forgets over times
    /// that are spread evenly up to it ("chrono" initialisation, Tallec & Ollivier 2018, section 2.2).
    fn new(cell: LayerCell, hidden: usize, [inputs, outputs]: [usize; 2], lag: usize) -> Outcome<Self> {
        let layer = LayerConfig { cell, hidden, bidirectional: false, ..LayerConfig::default() };
        let config = ModelConfig { layers: vec![layer], ..ModelConfig::default() };
        let front = FrontEnd { bins: inputs, ..FrontEnd::default() };
        let network = Network::new(&config, &front, outputs, 1, &Device::Cpu)?;
        let mut params = Params::default();
        for (name, var) in network.params().iter() {
            let mut values: Vec<f32> = var.flatten_all()?.to_vec1()?;
            if name == "layers.0.b" {
                let mut rng = Rng::stream(1, "chrono", 0);
                let spread: Vec<f32> = (0..hidden).map(|_| rng.range(1.0, (lag as f32 - 1.0).max(2.0)).ln()).collect();
                for (gate, biases) in cell.gates().iter().zip(values.chunks_mut(hidden)) {
                    // The update gate of a GRU says how much of the old state stays.
                    let sign = match *gate {
                        "f" if cell.name() == "mgu" => -1.0,
                        "f" => 1.0,
                        "z" if !cell.gates().contains(&"f") => 1.0,
                        "i" if cell.gates().contains(&"f") => -1.0,
                        _ => continue,
                    };
                    biases.iter_mut().zip(&spread).for_each(|(bias, spread)| *bias = sign * spread);
                }
            }
            params.insert_vec(name, values, var.dims(), &Device::Cpu)?;
        }
        let network = Network::from_params(&config, params);
        Ok(Self { network, optimizer: OptimizerState::new(Optimizer::default()) })
    }

    /// `[N, outputs]` for rows of `inputs` numbers, packed as `lengths` says.
    fn outputs(&self, x: &[f32], lengths: &Lengths, learn: bool) -> Outcome<Tensor> {
        let x = Tensor::from_slice(x, (lengths.rows(), x.len() / lengths.rows()), &Device::Cpu)?;
        let mut rng = Rng::stream(1, "dropout", 0);
        let mode = if learn { Mode::Train(&mut rng) } else { Mode::Infer };
        Ok(self.network.forward(&x, lengths, mode)?.0)
    }

    fn learn(&mut self, loss: &Tensor, rate: f32) -> Outcome<f32> {
        let gradients = gradients(self.network.params(), &loss.backward()?)?;
        let scale = (1.0 / norm(&gradients)?.max(1.0)) as f32;
        if scale.is_finite() {
            self.optimizer.update(self.network.params(), &gradients, rate, scale)?;
        }
        Ok(loss.to_scalar()?)
    }
}

/// Two of `lag` numbers are marked; their sum is asked at the end (Hochreiter & Schmidhuber 1997, section 5.4). Mean
/// squared error of fresh sequences after `steps` updates; always saying 1 gives 0.167.
fn adding(cell: LayerCell, lag: usize, steps: u64) -> Outcome<f32> {
    let mut learner = Learner::new(cell, 64, [2, 1], lag)?;
    let lengths = Lengths::new(&[lag; BATCH]);
    let error = |learner: &Learner, step: u64, learn: bool| -> Outcome<Tensor> {
        let mut rng = Rng::stream(1, if learn { "adding" } else { "adding, fresh" }, step);
        let (mut x, mut sums) = (vec![0.0; lag * BATCH * 2], vec![0.0; BATCH]);
        for (b, sum) in sums.iter_mut().enumerate() {
            let marked = [rng.below(lag / 2), lag / 2 + rng.below(lag - lag / 2)];
            for t in 0..lag {
                let (number, row) = (rng.uniform(), (t * BATCH + b) * 2);
                x[row] = number;
                if marked.contains(&t) {
                    x[row + 1] = 1.0;
                    *sum += number;
                }
            }
        }
        let said = learner.outputs(&x, &lengths, learn)?.narrow(0, (lag - 1) * BATCH, BATCH)?;
        Ok((said - Tensor::from_vec(sums, (BATCH, 1), &Device::Cpu)?)?.sqr()?.mean_all()?)
    };
    for step in 0..steps {
        let loss = error(&learner, step, true)?;
        learner.learn(&loss, 2e-3)?;
    }
    let fresh = (0..8).map(|n| Ok(error(&learner, n, false)?.to_scalar::<f32>()?)).collect::<Outcome<Vec<_>>>()?;
    Ok(fresh.iter().sum::<f32>() / fresh.len() as f32)
}

/// Symbols to copy, and how many.
const ALPHABET: usize = 8;
const COPIED: usize = 10;

/// Ten symbols, a pause of `lag`, and then they are to be written (Hochreiter & Schmidhuber 1997; Arjovsky et al. 2016).
/// Share of symbols written rightly in fresh sequences; guessing gives 0.125.
fn copying(cell: LayerCell, lag: usize, steps: u64) -> Outcome<f32> {
    let classes = ALPHABET + 2;
    let mut learner = Learner::new(cell, 128, [classes, ALPHABET + 1], lag + COPIED)?;
    let frames = lag + 2 * COPIED;
    let lengths = Lengths::new(&vec![frames; BATCH]);
    let make = |purpose: &str, step: u64| {
        let mut rng = Rng::stream(1, purpose, step);
        let (mut x, mut targets) = (vec![0.0; frames * BATCH * classes], vec![0_u32; frames * BATCH]);
        for b in 0..BATCH {
            let symbols: Vec<usize> = (0..COPIED).map(|_| 1 + rng.below(ALPHABET)).collect();
            for t in 0..frames {
                let row = t * BATCH + b;
                let symbol = match t {
                    _ if t < COPIED => symbols[t],
                    _ if t + COPIED + 1 == frames => ALPHABET + 1,
                    _ => 0,
                };
                x[row * classes + symbol] = 1.0;
                targets[row] = if t + COPIED >= frames { symbols[t + COPIED - frames] as u32 } else { 0 };
            }
        }
        (x, targets)
    };
    for step in 0..steps {
        let (x, targets) = make("copying", step);
        let targets = Tensor::from_vec(targets, frames * BATCH, &Device::Cpu)?;
        let loss = cross_entropy(&learner.outputs(&x, &lengths, true)?, &targets)?;
        learner.learn(&loss, 2e-3)?;
    }
    let (mut right, mut all) = (0, 0);
    for n in 0..4 {
        let (x, targets) = make("copying, fresh", n);
        let said = learner.outputs(&x, &lengths, false)?.argmax(1)?.to_vec1::<u32>()?;
        let written = (frames - COPIED) * BATCH;
        right += said[written..].iter().zip(&targets[written..]).filter(|(a, b)| a == b).count();
        all += COPIED * BATCH;
    }
    Ok(right as f32 / all as f32)
}

/// The word `S a^n b^n c^n`, and after each symbol which ones may follow; `S` also ends a word.
fn word(n: usize) -> Vec<(usize, [f32; 4])> {
    let mut word = vec![(0, [0.0, 1.0, 0.0, 0.0])];
    word.extend((0..n).map(|_| (1, [0.0, 1.0, 1.0, 0.0])));
    word.extend((1..=n).map(|k| (2, if k < n { [0.0, 0.0, 1.0, 0.0] } else { [0.0, 0.0, 0.0, 1.0] })));
    word.extend((1..=n).map(|k| (3, if k < n { [0.0, 0.0, 0.0, 1.0] } else { [1.0, 0.0, 0.0, 0.0] })));
    word
}

/// Says after each symbol which ones may follow, learnt on n up to 20 (Gers & Schmidhuber 2001). The n from 1 on up to
/// which every word is right.
fn counting(cell: LayerCell, steps: u64) -> Outcome<usize> {
    let mut learner = Learner::new(cell, 32, [4, 4], 20)?;
    let pack = |words: &[Vec<(usize, [f32; 4])>]| {
        let lengths = Lengths::new(&words.iter().map(Vec::len).collect::<Vec<_>>());
        let (mut x, mut targets) = (vec![0.0; lengths.rows() * 4], vec![0.0; lengths.rows() * 4]);
        for (b, &n) in lengths.order().iter().enumerate() {
            for (t, (symbol, next)) in words[n].iter().enumerate() {
                let row = lengths.row(t, b) * 4;
                x[row + symbol] = 1.0;
                targets[row..row + 4].copy_from_slice(next);
            }
        }
        (x, targets, lengths)
    };
    for step in 0..steps {
        let mut rng = Rng::stream(1, "counting", step);
        let words: Vec<_> = (0..8).map(|_| word(1 + rng.below(20))).collect();
        let (x, targets, lengths) = pack(&words);
        let targets = Tensor::from_vec(targets, (lengths.rows(), 4), &Device::Cpu)?;
        let loss = binary_cross_entropy_with_logit(&learner.outputs(&x, &lengths, true)?, &targets)?;
        let rate = 5e-3 * (1.0 - step as f32 / steps as f32).max(0.02);
        learner.learn(&loss, rate)?;
    }
    for n in 1..=500 {
        let (x, targets, lengths) = pack(&[word(n)]);
        let said = learner.outputs(&x, &lengths, false)?.flatten_all()?.to_vec1::<f32>()?;
        if said.iter().zip(&targets).any(|(said, target)| (*said > 0.0) != (*target > 0.5)) {
            return Ok(n - 1);
        }
    }
    Ok(500)
}

fn main() -> Outcome {
    keep_freed_memory();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let quick = words.iter().any(|word| word == "--quick");
    let named = |cell: &LayerCell| words.iter().any(|word| word == cell.name());
    let any = LayerCell::all().any(|cell| named(&cell));
    let few = if quick { 20 } else { 1 };
    println!("| cell | adding, lag 500: error | copying, lag 100 | lag 500 | a^n b^n c^n right up to |");
    println!("|---|---|---|---|---|");
    for cell in LayerCell::all().filter(|cell| !cell.slides() && (!any || named(cell))) {
        // Minutes go by before a row is done.
        let done = |task: &str, figure: f32| eprintln!("{}: {task}: {figure}", cell.name());
        let error = adding(cell, 500, 3000 / few)?;
        done("adding", error);
        let near = copying(cell, 100, 2000 / few)?;
        done("copying, lag 100", near);
        let far = copying(cell, 500, 2000 / few)?;
        done("copying, lag 500", far);
        let count = counting(cell, 4000 / few)?;
        println!("| `{}` | {error:.4} | {near:.3} | {far:.3} | {count} |", cell.name());
    }
    Ok(())
}

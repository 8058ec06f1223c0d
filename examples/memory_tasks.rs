//! What each cell can remember: the adding problem, copying after a pause, and counting (a^n b^n c^n), as the papers that
//! introduced the cells had them. Writes a table, docs/memory.md's, and the curves of learning as a picture.
//!
//! cargo run --release --example memory_tasks [--quick] [--out DIR] [CELL ...]
//!
//! A cell takes half an hour and more. What is done is kept in DIR (target/memory), a file a cell and task, and not done again.

use candle_core::{Device, Tensor};
use candle_nn::loss::{binary_cross_entropy_with_logit, cross_entropy};
use formant::features::FrontEnd;
use formant::lengths::Lengths;
use formant::model::{LayerCell, LayerConfig, Mode, ModelConfig, Network};
use formant::nn::memory::keep_freed_memory;
use formant::nn::optim::{Optimizer, OptimizerState, gradients, norm};
use formant::nn::params::Params;
use formant::rng::Rng;
use plotters::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const BATCH: usize = 32;

/// What came of a task.
#[derive(serde::Deserialize, serde::Serialize)]
struct Learnt {
    /// What the table says.
    figure: f32,
    /// Mean loss of each [`STRIDE`] updates; nothing where it was no number.
    losses: Vec<Option<f32>>,
}

/// Updates that a point of a curve stands for.
const STRIDE: usize = 50;

/// Points of a curve from the losses of all updates.
fn curve(losses: &[f32]) -> Vec<Option<f32>> {
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    losses.chunks(STRIDE).map(|losses| Some(mean(losses)).filter(|mean| mean.is_finite())).collect()
}

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
fn adding(cell: LayerCell, lag: usize, steps: u64) -> Outcome<Learnt> {
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
    let mut losses = Vec::new();
    for step in 0..steps {
        let loss = error(&learner, step, true)?;
        losses.push(learner.learn(&loss, 2e-3)?);
    }
    let fresh = (0..8).map(|n| Ok(error(&learner, n, false)?.to_scalar::<f32>()?)).collect::<Outcome<Vec<_>>>()?;
    Ok(Learnt { figure: fresh.iter().sum::<f32>() / fresh.len() as f32, losses: curve(&losses) })
}

/// Symbols to copy, and how many.
const ALPHABET: usize = 8;
const COPIED: usize = 10;

/// Ten symbols, a pause of `lag`, and then they are to be written (Hochreiter & Schmidhuber 1997; Arjovsky et al. 2016).
/// Share of symbols written rightly in fresh sequences; guessing gives 0.125.
fn copying(cell: LayerCell, lag: usize, steps: u64) -> Outcome<Learnt> {
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
    let mut losses = Vec::new();
    for step in 0..steps {
        let (x, targets) = make("copying", step);
        let targets = Tensor::from_vec(targets, frames * BATCH, &Device::Cpu)?;
        let loss = cross_entropy(&learner.outputs(&x, &lengths, true)?, &targets)?;
        losses.push(learner.learn(&loss, 2e-3)?);
    }
    let (mut right, mut all) = (0, 0);
    for n in 0..4 {
        let (x, targets) = make("copying, fresh", n);
        let said = learner.outputs(&x, &lengths, false)?.argmax(1)?.to_vec1::<u32>()?;
        let written = (frames - COPIED) * BATCH;
        right += said[written..].iter().zip(&targets[written..]).filter(|(a, b)| a == b).count();
        all += COPIED * BATCH;
    }
    Ok(Learnt { figure: right as f32 / all as f32, losses: curve(&losses) })
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
fn counting(cell: LayerCell, steps: u64) -> Outcome<Learnt> {
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
    let mut losses = Vec::new();
    for step in 0..steps {
        let mut rng = Rng::stream(1, "counting", step);
        let words: Vec<_> = (0..8).map(|_| word(1 + rng.below(20))).collect();
        let (x, targets, lengths) = pack(&words);
        let targets = Tensor::from_vec(targets, (lengths.rows(), 4), &Device::Cpu)?;
        let loss = binary_cross_entropy_with_logit(&learner.outputs(&x, &lengths, true)?, &targets)?;
        let rate = 5e-3 * (1.0 - step as f32 / steps as f32).max(0.02);
        losses.push(learner.learn(&loss, rate)?);
    }
    let mut right = 0;
    while right < 500 {
        let (x, targets, lengths) = pack(&[word(right + 1)]);
        let said = learner.outputs(&x, &lengths, false)?.flatten_all()?.to_vec1::<f32>()?;
        if said.iter().zip(&targets).any(|(said, target)| (*said > 0.0) != (*target > 0.5)) {
            break;
        }
        right += 1;
    }
    Ok(Learnt { figure: right as f32, losses: curve(&losses) })
}

/// A task, its column in the table, and how a figure is written.
struct Task {
    name: &'static str,
    column: &'static str,
    decimals: usize,
    learn: fn(LayerCell, u64) -> Outcome<Learnt>,
}

/// All of them. The last argument divides the number of updates.
const TASKS: [Task; 4] = [
    Task {
        name: "adding",
        column: "adding, lag 500: error",
        decimals: 4,
        learn: |cell, few| adding(cell, 500, 3000 / few),
    },
    Task {
        name: "counting",
        column: "a^n b^n c^n right up to",
        decimals: 0,
        learn: |cell, few| counting(cell, 4000 / few),
    },
    Task {
        name: "copying-100",
        column: "copying, lag 100: right",
        decimals: 3,
        learn: |cell, few| copying(cell, 100, 10_000 / few),
    },
    Task {
        name: "copying-500",
        column: "copying, lag 500: right",
        decimals: 3,
        learn: |cell, few| copying(cell, 500, 10_000 / few),
    },
];

/// Results by task and cell.
type Results = BTreeMap<(usize, &'static str), Learnt>;

/// What is in `folder`, for all cells, in the order of the table of cells.
fn read(folder: &Path) -> Outcome<Results> {
    let mut results = Results::new();
    for (n, task) in TASKS.iter().enumerate() {
        for cell in LayerCell::all() {
            if let Ok(text) = std::fs::read_to_string(file(folder, task, cell)) {
                results.insert((n, cell.name()), serde_json::from_str(&text)?);
            }
        }
    }
    Ok(results)
}

fn file(folder: &Path, task: &Task, cell: LayerCell) -> PathBuf {
    folder.join(format!("{}-{}.json", cell.name(), task.name))
}

/// The table of what is done, a row a cell.
fn table(results: &Results) -> String {
    let columns: Vec<_> = TASKS.iter().map(|task| task.column).collect();
    let mut text = format!("| cell | {} |\n|{}\n", columns.join(" | "), "---|".repeat(TASKS.len() + 1));
    for cell in LayerCell::all() {
        let figure = |(n, task): (usize, &Task)| match results.get(&(n, cell.name())) {
            Some(learnt) => format!("{:.*}", task.decimals, learnt.figure),
            None => "-".to_owned(),
        };
        let row: Vec<_> = TASKS.iter().enumerate().map(figure).collect();
        if row.iter().any(|figure| figure != "-") {
            text += &format!("| `{}` | {} |\n", cell.name(), row.join(" | "));
        }
    }
    text
}

/// Loss over updates, a panel a task, a line a cell.
fn draw(results: &Results, path: &Path) -> Outcome {
    let area = SVGBackend::new(path, (1200, 800)).into_drawing_area();
    area.fill(&WHITE)?;
    for ((n, task), panel) in TASKS.iter().enumerate().zip(area.split_evenly((2, 2))) {
        let lines: Vec<_> =
            LayerCell::all().filter_map(|cell| Some((cell.name(), &results.get(&(n, cell.name()))?.losses))).collect();
        let updates = lines.iter().map(|(_, losses)| losses.len() * STRIDE).max().unwrap_or(1);
        let high =
            lines.iter().flat_map(|(_, losses)| losses.iter().flatten().skip(1)).fold(0.01_f32, |high, x| high.max(*x));
        let mut chart = ChartBuilder::on(&panel)
            .caption(format!("{}: loss", task.name), ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(30)
            .y_label_area_size(60)
            .build_cartesian_2d(0..updates, (high * 1e-4..high * 1.5).log_scale())?;
        chart.configure_mesh().x_desc("updates").draw()?;
        for (cell, losses) in lines {
            // A cell has the same colour in every panel.
            let place = LayerCell::all().position(|other| other.name() == cell).unwrap_or_default();
            let colour = Palette99::pick(place).mix(0.9);
            let points = losses.iter().enumerate();
            let points = points.filter_map(|(k, loss)| Some(((k + 1) * STRIDE, loss.as_ref()?.max(high * 1e-4))));
            chart
                .draw_series(LineSeries::new(points, &colour))?
                .label(cell)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
        }
        chart.configure_series_labels().background_style(WHITE.mix(0.8)).draw()?;
    }
    area.present()?;
    Ok(())
}

fn main() -> Outcome {
    keep_freed_memory();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let quick = words.iter().any(|word| word == "--quick");
    let mut folder = PathBuf::from(if quick { "target/memory-quick" } else { "target/memory" });
    if let Some(place) = words.iter().position(|word| word == "--out") {
        folder = words.get(place + 1).ok_or("--out wants a folder")?.into();
    }
    std::fs::create_dir_all(&folder)?;
    let named = |cell: &LayerCell| words.iter().any(|word| word == cell.name());
    let any = LayerCell::all().any(|cell| named(&cell));
    for task in &TASKS {
        for cell in LayerCell::all().filter(|cell| !cell.slides() && (!any || named(cell))) {
            let file = file(&folder, task, cell);
            if !file.exists() {
                let learnt = (task.learn)(cell, if quick { 20 } else { 1 })?;
                eprintln!("{}: {}: {}", cell.name(), task.name, learnt.figure);
                std::fs::write(file, serde_json::to_string(&learnt)?)?;
            }
        }
    }
    let results = read(&folder)?;
    print!("{}", table(&results));
    draw(&results, &folder.join("curves.svg"))
}

//! The definition: one utterance, one direction, one unit after the other, in f64. Slow and plain on purpose; the
//! fast paths are tested against it, and it is tested against PyTorch and against finite differences.
#![forbid(unsafe_code)]

use super::cells::{Cell, Step, StepGrad};
use super::problem::Problem;

/// Everything that a forward pass computed for one utterance and direction, by time step in the order of running.
struct Trace {
    /// The packed row of each step.
    rows: Vec<usize>,
    /// `[steps + 1][states][hidden]`; the first entry is the initial state.
    states: Vec<Vec<Vec<f64>>>,
    /// `[steps][hidden][saved]`.
    saved: Vec<Vec<Vec<f64>>>,
}

fn run<C: Cell>(p: &Problem<'_>, a: &[f64], r: &[f64], utterance: usize, direction: usize) -> Trace {
    let (hidden, gates, spec) = (p.hidden, C::SPEC.gates.len(), C::SPEC);
    let width = p.directions * gates * hidden;
    let mut times: Vec<usize> = (0..p.lengths.sorted()[utterance]).collect();
    if direction == 1 {
        times.reverse();
    }
    let rows: Vec<usize> = times.iter().map(|&t| p.lengths.row(t, utterance)).collect();
    let mut states = vec![vec![vec![0.0; hidden]; spec.states.len()]];
    let mut saved = Vec::new();
    for &row in &rows {
        let prev = states[states.len() - 1].clone();
        let mut next = prev.clone();
        let mut kept = vec![vec![0.0; spec.saved.len()]; hidden];
        for unit in 0..hidden {
            let gate = |g: usize| (direction * gates + g) * hidden + unit;
            let input: Vec<f64> = (0..gates).map(|g| a[row * width + gate(g)]).collect();
            let recurrent: Vec<f64> =
                (0..gates).map(|g| (0..hidden).map(|k| r[gate(g) * hidden + k] * prev[0][k]).sum()).collect();
            let before: Vec<f64> = prev.iter().map(|s| s[unit]).collect();
            let mut after = before.clone();
            C::step(&Step { a: &input, r: &recurrent, prev: &before }, &mut after, &mut kept[unit]);
            after.iter().enumerate().for_each(|(s, v)| next[s][unit] = *v);
        }
        states.push(next);
        saved.push(kept);
    }
    Trace { rows, states, saved }
}

/// `a` `[N, D G H]` and `r` `[D, G H, H]` to `[N, D H]`.
pub fn forward<C: Cell>(p: &Problem<'_>, a: &[f64], r: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; p.lengths.rows() * p.directions * p.hidden];
    for direction in 0..p.directions {
        for utterance in 0..p.lengths.batch() {
            let trace = run::<C>(p, a, r, utterance, direction);
            for (row, states) in trace.rows.iter().zip(&trace.states[1..]) {
                let at = (row * p.directions + direction) * p.hidden;
                y[at..at + p.hidden].copy_from_slice(&states[0]);
            }
        }
    }
    y
}

/// Gradients of `a` and `r`, given that of the output.
pub fn backward<C: Cell>(p: &Problem<'_>, a: &[f64], r: &[f64], dy: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (hidden, gates, spec) = (p.hidden, C::SPEC.gates.len(), C::SPEC);
    let (mut da, mut dr) = (vec![0.0; a.len()], vec![0.0; r.len()]);
    for direction in 0..p.directions {
        for utterance in 0..p.lengths.batch() {
            let trace = run::<C>(p, a, r, utterance, direction);
            let mut carried = vec![vec![0.0; hidden]; spec.states.len()];
            for (step, &row) in trace.rows.iter().enumerate().rev() {
                let prev = &trace.states[step];
                let mut before = vec![vec![0.0; hidden]; spec.states.len()];
                for unit in 0..hidden {
                    let mut next: Vec<f64> = carried.iter().map(|s| s[unit]).collect();
                    next[0] += dy[(row * p.directions + direction) * hidden + unit];
                    let state: Vec<f64> = prev.iter().map(|s| s[unit]).collect();
                    let (mut d_gates, mut d_prev) = (vec![0.0; gates], vec![0.0; spec.states.len()]);
                    let seen = StepGrad { next: &next, prev: &state, saved: &trace.saved[step][unit] };
                    C::step_grad(&seen, &mut d_gates, &mut d_prev);
                    d_prev.iter().enumerate().for_each(|(s, d)| before[s][unit] += d);
                    for (g, d) in d_gates.iter().enumerate() {
                        let gate = (direction * gates + g) * hidden + unit;
                        da[row * p.directions * gates * hidden + gate] = *d;
                        for k in 0..hidden {
                            dr[gate * hidden + k] += d * prev[0][k];
                            before[0][k] += d * r[gate * hidden + k];
                        }
                    }
                }
                carried = before;
            }
        }
    }
    (da, dr)
}

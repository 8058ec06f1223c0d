//! The definition: one utterance, one direction, one unit after the other, in f64. Slow and plain on purpose; the
//! fast paths are tested against it, and it is tested against PyTorch and against finite differences.
#![forbid(unsafe_code)]

use super::cells::{Cell, Gradients, Step, StepGrad};
use super::problem::Problem;

/// The numbers of a layer, all row-major.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// `[N, D G H]`.
    pub a: &'a [f64],
    /// `[D, G H, H / heads]`, only the gates that have a recurrent part.
    pub r: &'a [f64],
    /// `[D, A, H]`.
    pub aux: &'a [f64],
}

/// Gradients of the numbers of a layer, shaped alike.
pub struct InputGradients {
    /// Of the gates' input parts.
    pub a: Vec<f64>,
    /// Of the recurrent weights.
    pub r: Vec<f64>,
    /// Of the units' further parameters.
    pub aux: Vec<f64>,
}

/// Everything that a forward pass computed for one utterance and direction, by time step in the order of running.
struct Trace {
    /// The packed row of each step.
    rows: Vec<usize>,
    /// `[steps + 1][states][hidden]`; the first entry is the initial state.
    states: Vec<Vec<Vec<f64>>>,
    /// `[steps][hidden]`, of the cells that have one.
    modulated: Vec<Vec<f64>>,
    /// `[steps][hidden][saved]`.
    saved: Vec<Vec<Vec<f64>>>,
}

/// One utterance in one direction.
struct Runner<'a> {
    p: &'a Problem<'a>,
    x: Input<'a>,
    utterance: usize,
    direction: usize,
}

impl Runner<'_> {
    fn row_of_r<C: Cell>(&self, gate: usize, unit: usize) -> usize {
        (self.direction * C::SPEC.rows_of_r() + gate) * self.p.hidden + unit
    }

    /// The units that `unit` hears through R.
    fn heard(&self, unit: usize) -> std::ops::Range<usize> {
        let head = self.p.head();
        unit / head * head..(unit / head + 1) * head
    }

    /// The product of a row of R with a state.
    fn product<C: Cell>(&self, gate: usize, unit: usize, state: &[f64]) -> f64 {
        let row = &self.x.r[self.row_of_r::<C>(gate, unit) * self.p.head()..][..self.p.head()];
        row.iter().zip(&state[self.heard(unit)]).map(|(w, s)| w * s).sum()
    }

    fn column(&self, unit: usize, count: usize, n: usize) -> usize {
        (self.direction * count + n) * self.p.hidden + unit
    }

    fn input<C: Cell>(&self, row: usize, unit: usize) -> Vec<f64> {
        let gates = C::SPEC.gates.len();
        let width = self.p.directions * gates * self.p.hidden;
        (0..gates).map(|g| self.x.a[row * width + self.column(unit, gates, g)]).collect()
    }

    fn aux<C: Cell>(&self, unit: usize) -> Vec<f64> {
        let count = C::SPEC.aux.len();
        (0..count).map(|n| self.x.aux[self.column(unit, count, n)]).collect()
    }

    fn run<C: Cell>(&self) -> Trace {
        let (hidden, spec) = (self.p.hidden, C::SPEC);
        let mut times: Vec<usize> = (0..self.p.lengths.sorted()[self.utterance]).collect();
        if self.direction == 1 {
            times.reverse();
        }
        let rows: Vec<usize> = times.iter().map(|&t| self.p.lengths.row(t, self.utterance)).collect();
        let initial = |s: usize| vec![f64::from(spec.initial[s]); hidden];
        let mut states = vec![(0..spec.states.len()).map(initial).collect::<Vec<_>>()];
        let (mut all_modulated, mut all_saved) = (Vec::new(), Vec::new());
        for &row in &rows {
            let prev = &states[states.len() - 1];
            let before = |unit: usize| prev.iter().map(|s| s[unit]).collect::<Vec<_>>();
            let heard = |unit| (0..spec.recurrent).map(|g| self.product::<C>(g, unit, &prev[0])).collect::<Vec<_>>();
            let modulated: Vec<f64> = (0..if spec.modulated > 0 { hidden } else { 0 })
                .map(|unit| {
                    let (a, aux) = (self.input::<C>(row, unit), self.aux::<C>(unit));
                    C::modulate(&Step { a: &a, r: &heard(unit), aux: &aux, prev: &before(unit) })
                })
                .collect();
            let (mut next, mut saved) = (prev.clone(), vec![vec![0.0; spec.saved.len()]; hidden]);
            for unit in 0..hidden {
                let mut r = heard(unit);
                r.extend((spec.recurrent..spec.rows_of_r()).map(|g| self.product::<C>(g, unit, &modulated)));
                let (a, aux, prev) = (self.input::<C>(row, unit), self.aux::<C>(unit), before(unit));
                let mut after = prev.clone();
                C::step(&Step { a: &a, r: &r, aux: &aux, prev: &prev }, &mut after, &mut saved[unit]);
                after.iter().enumerate().for_each(|(s, v)| next[s][unit] = *v);
            }
            states.push(next);
            all_modulated.push(modulated);
            all_saved.push(saved);
        }
        Trace { rows, states, modulated: all_modulated, saved: all_saved }
    }

    fn backward<C: Cell>(&self, dy: &[f64], to: &mut InputGradients) {
        let (hidden, spec, trace) = (self.p.hidden, C::SPEC, self.run::<C>());
        let (gates, head) = (spec.gates.len(), self.p.head());
        let mut carried = vec![vec![0.0; hidden]; spec.states.len()];
        for (step, &row) in trace.rows.iter().enumerate().rev() {
            let prev = &trace.states[step];
            let mut before = vec![vec![0.0; hidden]; spec.states.len()];
            let mut d_modulated = vec![0.0; hidden];
            let mut found = Vec::new();
            for unit in 0..hidden {
                let mut next: Vec<f64> = carried.iter().map(|s| s[unit]).collect();
                next[spec.output] += dy[(row * self.p.directions + self.direction) * hidden + unit];
                let state: Vec<f64> = prev.iter().map(|s| s[unit]).collect();
                let mut d = [gates, spec.rows_of_r(), spec.aux.len(), spec.states.len()].map(|n| vec![0.0; n]);
                let aux = self.aux::<C>(unit);
                let [a, r, d_aux, d_prev] = &mut d;
                let seen = StepGrad { next: &next, aux: &aux, prev: &state, saved: &trace.saved[step][unit] };
                C::step_grad(&seen, &mut Gradients { a, r, aux: d_aux, prev: d_prev });
                if spec.added {
                    r.copy_from_slice(&a[..spec.rows_of_r()]);
                }
                for (g, d) in d[1].iter().enumerate().skip(spec.recurrent) {
                    let at = self.row_of_r::<C>(g, unit) * head;
                    for (k, other) in self.heard(unit).enumerate() {
                        to.r[at + k] += d * trace.modulated[step][other];
                        d_modulated[other] += d * self.x.r[at + k];
                    }
                }
                found.push((next, state, d));
            }
            for (unit, (next, state, [mut a, mut r, mut d_aux, mut d_prev])) in found.into_iter().enumerate() {
                if spec.modulated > 0 {
                    let aux = self.aux::<C>(unit);
                    let seen = StepGrad { next: &next, aux: &aux, prev: &state, saved: &trace.saved[step][unit] };
                    let mut d = Gradients { a: &mut a, r: &mut r, aux: &mut d_aux, prev: &mut d_prev };
                    C::modulate_grad(&seen, d_modulated[unit], &mut d);
                    r.copy_from_slice(&a[..spec.rows_of_r()]);
                }
                d_prev.iter().enumerate().for_each(|(s, d)| before[s][unit] += d);
                let width = self.p.directions * gates * hidden;
                a.iter().enumerate().for_each(|(g, d)| to.a[row * width + self.column(unit, gates, g)] = *d);
                d_aux.iter().enumerate().for_each(|(n, d)| to.aux[self.column(unit, spec.aux.len(), n)] += d);
                for (g, d) in r[..spec.recurrent].iter().enumerate() {
                    let at = self.row_of_r::<C>(g, unit) * head;
                    for (k, other) in self.heard(unit).enumerate() {
                        to.r[at + k] += d * prev[0][other];
                        before[0][other] += d * self.x.r[at + k];
                    }
                }
            }
            carried = before;
        }
    }
}

fn runners<'a>(p: &'a Problem<'a>, x: Input<'a>) -> impl Iterator<Item = Runner<'a>> {
    let pairs = (0..p.directions).flat_map(|direction| (0..p.lengths.batch()).map(move |u| (direction, u)));
    pairs.map(move |(direction, utterance)| Runner { p, x, utterance, direction })
}

/// The output, `[N, D H]`.
pub fn forward<C: Cell>(p: &Problem<'_>, x: Input<'_>) -> Vec<f64> {
    let mut y = vec![0.0; p.lengths.rows() * p.directions * p.hidden];
    for runner in runners(p, x) {
        let trace = runner.run::<C>();
        for (row, states) in trace.rows.iter().zip(&trace.states[1..]) {
            let at = (row * p.directions + runner.direction) * p.hidden;
            y[at..at + p.hidden].copy_from_slice(&states[C::SPEC.output]);
        }
    }
    y
}

/// Gradients, given that of the output.
pub fn backward<C: Cell>(p: &Problem<'_>, x: Input<'_>, dy: &[f64]) -> InputGradients {
    let [a, r, aux, _] = p.sizes(&C::SPEC).map(|n| vec![0.0; n]);
    let mut gradients = InputGradients { a, r, aux };
    for runner in runners(p, x) {
        runner.backward::<C>(dy, &mut gradients);
    }
    gradients
}

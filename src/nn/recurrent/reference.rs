//! The definition: one utterance, one direction, one unit after the other, in f64. Slow and plain on purpose; the
//! fast paths are tested against it, and it is tested against PyTorch and against finite differences.
#![forbid(unsafe_code)]

use super::carry::Carry;
use super::cells::{Cell, Gradients, Step, StepGrad};
use super::problem::Problem;

/// The numbers of a layer, all row-major.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// `[N, D G H]`.
    pub a: &'a [f64],
    /// `[D, G H, H / heads]`, only the gates that have a recurrent part; with a projection to P, `[D, (G + 1) H, P]`.
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
    /// `[steps + 1][P or hidden]`: what R sees of state 0, projected if there is a projection.
    seen: Vec<Vec<f64>>,
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
        (self.direction * self.p.groups(&C::SPEC) + gate) * self.p.hidden + unit
    }

    /// The units, or projected numbers, that `unit` hears through R.
    fn heard(&self, unit: usize) -> std::ops::Range<usize> {
        let (head, seen) = (unit / self.p.head(), self.p.seen());
        head * seen..(head + 1) * seen
    }

    /// What R sees of state 0.
    fn seen<C: Cell>(&self, h: &[f64]) -> Vec<f64> {
        if self.p.projection == 0 {
            return h.to_vec();
        }
        let row = |unit: usize| self.row_of_r::<C>(C::SPEC.rows_of_r(), unit) * self.p.seen();
        let number = |k: usize| h.iter().enumerate().map(|(unit, h)| h * self.x.r[row(unit) + k]).sum();
        (0..self.p.projection).map(number).collect()
    }

    /// The product of a row of R with a state.
    fn product<C: Cell>(&self, gate: usize, unit: usize, state: &[f64]) -> f64 {
        let row = &self.x.r[self.row_of_r::<C>(gate, unit) * self.p.seen()..][..self.p.seen()];
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

    /// The share of the new value of a state that is carried on.
    fn share<C: Cell>(&self, row: usize, s: usize, unit: usize) -> f64 {
        let row = row * self.p.directions + self.direction;
        let at = Carry::start(&C::SPEC, row, s, self.p.hidden) + unit;
        self.p.carry.shares.get(at).map_or(1.0, |share| f64::from(*share))
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
        let mut seen = vec![self.seen::<C>(&states[0][0])];
        let (mut all_modulated, mut all_saved) = (Vec::new(), Vec::new());
        for &row in &rows {
            let prev = &states[states.len() - 1];
            let before = |unit: usize| prev.iter().map(|s| s[unit]).collect::<Vec<_>>();
            let heard = |unit| {
                (0..spec.recurrent).map(|g| self.product::<C>(g, unit, &seen[seen.len() - 1])).collect::<Vec<_>>()
            };
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
                for (s, (new, old)) in after.iter().zip(&prev).enumerate() {
                    let share = self.share::<C>(row, s, unit);
                    next[s][unit] = self.p.carry.forward(s == spec.output, *new, *old, share);
                }
            }
            let next_seen = self.seen::<C>(&next[0]);
            states.push(next);
            seen.push(next_seen);
            all_modulated.push(modulated);
            all_saved.push(saved);
        }
        Trace { rows, states, seen, modulated: all_modulated, saved: all_saved }
    }

    /// Adds to the gradient of state 0, `h`, what that of what R sees of it comes to.
    fn unproject<C: Cell>(&self, seen: &[f64], h: &[f64], to_h: &mut [f64], to: &mut InputGradients) {
        if self.p.projection == 0 {
            to_h.iter_mut().zip(seen).for_each(|(to, d)| *to += d);
            return;
        }
        for (unit, (to_h, h)) in to_h.iter_mut().zip(h).enumerate() {
            let at = self.row_of_r::<C>(C::SPEC.rows_of_r(), unit) * self.p.seen();
            for (k, d) in seen.iter().enumerate() {
                *to_h += d * self.x.r[at + k];
                to.r[at + k] += d * h;
            }
        }
    }

    fn backward<C: Cell>(&self, dy: &[f64], to: &mut InputGradients) {
        let (hidden, spec, trace) = (self.p.hidden, C::SPEC, self.run::<C>());
        let (gates, width, output) = (spec.gates.len(), self.p.seen(), self.p.output());
        let mut carried = vec![vec![0.0; hidden]; spec.states.len()];
        let mut carried_seen = vec![0.0; output];
        for (step, &row) in trace.rows.iter().enumerate().rev() {
            let prev = &trace.states[step];
            let dy = &dy[(row * self.p.directions + self.direction) * output..][..output];
            if spec.output == 0 {
                carried_seen.iter_mut().zip(dy).for_each(|(carried, dy)| *carried += dy);
            }
            self.unproject::<C>(&carried_seen, &trace.states[step + 1][0], &mut carried[0], to);
            let mut before_seen = vec![0.0; output];
            let mut before = vec![vec![0.0; hidden]; spec.states.len()];
            let mut d_modulated = vec![0.0; hidden];
            let mut found = Vec::new();
            for unit in 0..hidden {
                let mut next: Vec<f64> = carried.iter().map(|s| s[unit]).collect();
                if spec.output != 0 {
                    next[spec.output] += dy[unit];
                }
                let state: Vec<f64> = prev.iter().map(|s| s[unit]).collect();
                for (s, next) in next.iter_mut().enumerate() {
                    let (carried, share) = (trace.states[step + 1][s][unit], self.share::<C>(row, s, unit));
                    let [new, old] = self.p.carry.backward(s == spec.output, *next, carried, share);
                    *next = new;
                    before[s][unit] += old;
                }
                let mut d = [gates, spec.rows_of_r(), spec.aux.len(), spec.states.len()].map(|n| vec![0.0; n]);
                let aux = self.aux::<C>(unit);
                let [a, r, d_aux, d_prev] = &mut d;
                let seen = StepGrad { next: &next, aux: &aux, prev: &state, saved: &trace.saved[step][unit] };
                C::step_grad(&seen, &mut Gradients { a, r, aux: d_aux, prev: d_prev });
                if spec.added {
                    r.copy_from_slice(&a[..spec.rows_of_r()]);
                }
                for (g, d) in d[1].iter().enumerate().skip(spec.recurrent) {
                    let at = self.row_of_r::<C>(g, unit) * width;
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
                let columns = self.p.directions * gates * hidden;
                a.iter().enumerate().for_each(|(g, d)| to.a[row * columns + self.column(unit, gates, g)] = *d);
                d_aux.iter().enumerate().for_each(|(n, d)| to.aux[self.column(unit, spec.aux.len(), n)] += d);
                for (g, d) in r[..spec.recurrent].iter().enumerate() {
                    let at = self.row_of_r::<C>(g, unit) * width;
                    for (k, other) in self.heard(unit).enumerate() {
                        to.r[at + k] += d * trace.seen[step][other];
                        before_seen[other] += d * self.x.r[at + k];
                    }
                }
            }
            (carried, carried_seen) = (before, before_seen);
        }
    }
}

fn runners<'a>(p: &'a Problem<'a>, x: Input<'a>) -> impl Iterator<Item = Runner<'a>> {
    let pairs = (0..p.directions).flat_map(|direction| (0..p.lengths.batch()).map(move |u| (direction, u)));
    pairs.map(move |(direction, utterance)| Runner { p, x, utterance, direction })
}

/// The output, `[N, D H]`.
pub fn forward<C: Cell>(p: &Problem<'_>, x: Input<'_>) -> Vec<f64> {
    let mut y = vec![0.0; p.lengths.rows() * p.directions * p.output()];
    for runner in runners(p, x) {
        let trace = runner.run::<C>();
        for (step, row) in trace.rows.iter().enumerate() {
            let output = match C::SPEC.output {
                0 => &trace.seen[step + 1],
                state => &trace.states[step + 1][state],
            };
            y[(row * p.directions + runner.direction) * p.output()..][..p.output()].copy_from_slice(output);
        }
    }
    y
}

/// Gradients, given that of the output.
pub fn backward<C: Cell>(p: &Problem<'_>, x: Input<'_>, dy: &[f64]) -> InputGradients {
    let spec = &C::SPEC;
    let [a, r, aux] = [p.lengths.rows() * p.biases(spec), p.recurrent(spec), p.aux(spec)].map(|n| vec![0.0; n]);
    let mut gradients = InputGradients { a, r, aux };
    for runner in runners(p, x) {
        runner.backward::<C>(dy, &mut gradients);
    }
    gradients
}

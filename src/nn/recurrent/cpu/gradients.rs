//! What is summed over all rows once the loops are done, and the gradient of the layer's input: a few large products for
//! each direction, over all rows of the batch, so that no bit depends on how the loops were cut up.
#![forbid(unsafe_code)]

use super::unit::Unit;
use super::{InputGradients, Saved, backward};
use crate::nn::product::{View, Workers, add_product, product, product_by};
use crate::nn::recurrent::cells::Spec;
use crate::nn::recurrent::problem::{Problem, Shape};
use crate::nn::sums::column_sums;
use rayon::prelude::*;

/// One direction's numbers of all rows, `[N, width]`.
pub struct Rows {
    width: usize,
    data: Vec<f32>,
}

impl Rows {
    /// What the units of a direction found, each `[its rows][groups][units of its head]`, of H units in all.
    pub fn gathered(units: &[Unit<'_>], mut found: Vec<Vec<f32>>, (groups, units_of_all): (usize, usize)) -> Self {
        let width = groups * units_of_all;
        let data = match units {
            [_] => found.pop().unwrap_or_default(),
            [unit, ..] if width > 0 && found.iter().any(|own| !own.is_empty()) => {
                let mut data = vec![0.0; unit.problem.lengths.rows() * width];
                units.iter().zip(&found).for_each(|(unit, own)| unit.scatter(own, groups, &mut data, (width, 0)));
                data
            }
            _ => Vec::new(),
        };
        Self { width, data }
    }

    /// What R sees, one step before each row, zero where there is none; `seen` is what it sees at each row.
    fn before(problem: &Problem<'_>, direction: usize, seen: View<'_, f32>) -> Self {
        let whole = Unit::whole(problem, direction);
        let (width, mut data) = (problem.output(), vec![0.0; problem.lengths.rows() * problem.output()]);
        for t in whole.times() {
            let (count, time) = whole.before(t);
            for b in 0..count {
                data[whole.global(t, b) * width..][..width].copy_from_slice(seen.row(whole.global(time, b)));
            }
        }
        Self { width, data }
    }

    fn view(&self) -> View<'_, f32> {
        self.columns(0, self.width)
    }

    fn columns(&self, first: usize, count: usize) -> View<'_, f32> {
        let rows = self.data.len().checked_div(self.width).unwrap_or(0);
        View::strided(&self.data[first.min(self.data.len())..], rows, count, self.width)
    }
}

/// What the loops of one direction found.
struct Found {
    /// `[N, G H]`: gradients of the gates' input parts.
    a: Rows,
    /// `[N, R H]`: of their recurrent parts; nothing where that is the same.
    r: Rows,
    /// `[N, A H]`: of the units' further parameters.
    aux: Rows,
    /// `[N, P]`: of the projected output; nothing if there is no projection.
    projected: Rows,
}

impl Found {
    fn gathered(units: &[Unit<'_>], spec: &Spec, problem: &Problem<'_>, outputs: Vec<backward::Output>) -> Self {
        let mut parts = [const { Vec::new() }; 4];
        for backward::Output { a, r, aux, projected } in outputs {
            parts.iter_mut().zip([a, r, aux, projected]).for_each(|(part, own)| part.push(own));
        }
        let [a, r, aux, projected] = parts;
        let gather = |part, groups| Rows::gathered(units, part, (groups, problem.hidden));
        Self {
            a: gather(a, spec.gates.len()),
            r: gather(r, spec.recurrent),
            aux: gather(aux, spec.aux.len()),
            projected: Rows::gathered(units, projected, (1, problem.output())),
        }
    }
}

/// The layer, and what its forward pass left.
pub struct After<'a> {
    /// The cell's.
    pub spec: &'static Spec,
    /// Shape and batch.
    pub problem: &'a Problem<'a>,
    /// What was kept.
    pub saved: &'a Saved,
    /// `[N, F]`, the input.
    pub x: &'a [f32],
    /// `[D G H, F]`, the input weights.
    pub w: &'a [f32],
    /// `[N, D H]`, the output.
    pub y: &'a [f32],
}

impl After<'_> {
    /// All gradients, from what the units' loops found; that of the input only if `wants_x`.
    pub fn gradients(&self, units: &[Unit<'_>], found: Vec<backward::Output>, wants_x: bool) -> InputGradients {
        let directions = self.problem.directions;
        let mut found = found.into_iter();
        let of_direction = units.len() / directions;
        let jobs: Vec<_> = (0..directions).map(|d| (d, found.by_ref().take(of_direction).collect())).collect();
        let run = |(direction, outputs): (usize, Vec<backward::Output>)| {
            let units = &units[direction * of_direction..][..of_direction];
            let found = Found::gathered(units, self.spec, self.problem, outputs);
            let parameters = self.of_parameters(direction, &found, Workers::beside(directions));
            (found.a, parameters)
        };
        let (a, parameters): (Vec<_>, Vec<_>) = jobs.into_par_iter().map(run).unzip();
        let [w, b, r, aux] =
            [0, 1, 2, 3].map(|n| parameters.iter().map(|p| p[n].as_slice()).collect::<Vec<_>>().concat());
        InputGradients { x: wants_x.then(|| self.of_input(&a)), w, b, r, aux }
    }

    /// Of one direction's W, b, R and further parameters.
    fn of_parameters(&self, direction: usize, found: &Found, workers: Workers) -> [Vec<f32>; 4] {
        let x = View::new(self.x, self.problem.lengths.rows(), self.problem.inputs);
        let sums = |rows: &Rows| column_sums(&rows.data, rows.width);
        let w = product_by(workers, found.a.view().t(), x);
        [w, sums(&found.a), self.of_r(direction, found, workers), sums(&found.aux)]
    }

    fn of_r(&self, direction: usize, found: &Found, workers: Workers) -> Vec<f32> {
        let (problem, spec) = (self.problem, self.spec);
        let Shape { hidden, heads, directions, .. } = problem.shape;
        let (rows, output) = (problem.lengths.rows(), problem.output());
        let gates = if spec.added { &found.a } else { &found.r };
        let before = Rows::before(
            problem,
            direction,
            match self.saved.seen.get(direction) {
                Some(seen) if spec.output != 0 => seen.view(),
                _ => {
                    View::strided(&self.y[(direction * output).min(self.y.len())..], rows, output, directions * output)
                }
            },
        );
        let mut r = Vec::new();
        let modulated = self.saved.modulated.get(direction).unwrap_or(&before);
        for (range, state) in [(0..spec.recurrent, &before), (spec.recurrent..spec.rows_of_r(), modulated)] {
            // One product for all gates that have the same state beside them, unless heads part the units.
            let (at_once, own) = (if heads == 1 { range.len().max(1) } else { 1 }, output / heads);
            for first in range.clone().step_by(at_once) {
                for head in 0..heads {
                    let d = gates.columns(first * hidden + head * problem.head(), at_once * problem.head());
                    r.extend(product_by(workers, d.t(), state.columns(head * own, own)));
                }
            }
        }
        if let (true, Some(h)) = (problem.projection > 0, self.saved.seen.get(direction)) {
            r.extend(product_by(workers, h.view().t(), found.projected.view()));
        }
        r
    }

    /// Of the input, given that of every direction's gates.
    fn of_input(&self, gates: &[Rows]) -> Vec<f32> {
        let inputs = self.problem.inputs;
        let mut dx: Vec<f32> = Vec::new();
        for (direction, d) in gates.iter().enumerate() {
            let w = View::new(&self.w[direction * d.width * inputs..][..d.width * inputs], d.width, inputs);
            match direction {
                0 => dx = product(d.view(), w),
                _ => add_product(&mut dx, d.view(), w),
            }
        }
        dx
    }
}

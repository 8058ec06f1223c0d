//! Layers to test every path with: each cell at shapes that are not round, and what the definition makes of it.
#![forbid(unsafe_code)]

use super::carry::Carry;
use super::cells::{Cell, CellKind, Visitor};
use super::cpu::Weights;
use super::problem::{Problem, Shape};
use super::reference;
use crate::lengths::Lengths;
use crate::nn::linear;
use crate::rng::Rng;

/// Lengths, directions, units, projection, heads.
const SHAPES: &[(&[usize], usize, usize, usize, usize)] = &[
    (&[1], 1, 1, 0, 1),
    (&[5], 2, 3, 0, 1),
    (&[3, 7, 7, 1, 0], 2, 17, 0, 1),
    (&[4, 9, 2, 6, 6, 5, 8, 1], 1, 33, 0, 1),
    (&[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14], 2, 8, 0, 1),
    (&[4, 6, 1], 2, 15, 0, 3),
    (&[4, 6, 1, 6, 3, 2, 2, 5], 2, 19, 5, 1),
    (&[3], 1, 3, 70, 1),
    (&[2, 3], 2, 250, 0, 1),
];

/// Whether a cell can be asked for this.
pub fn can(kind: CellKind, projection: usize) -> bool {
    projection == 0 || kind.spec().projects
}

/// Zoneout and clipping wherever they can be, so that every test has them.
pub fn carry(kind: CellKind, projection: usize, lengths: &Lengths, shape: (usize, usize)) -> Carry {
    match (kind, projection) {
        // Its states are scaled by each other.
        (CellKind::Slstm, _) => Carry::default(),
        (_, 0) => Carry::new(0.7, [0.2, 0.4], lengths, shape, Some(&mut Rng::stream(1, "zoneout", 0))),
        _ => Carry { clip: 0.7, shares: Vec::new() },
    }
}

pub fn random(n: usize, scale: f32, purpose: &str) -> Vec<f32> {
    let mut rng = Rng::stream(1, purpose, n as u64);
    (0..n).map(|_| scale * rng.normal()).collect()
}

/// Numbers for a layer.
pub struct Numbers {
    /// `x`.
    pub x: Vec<f32>,
    /// `w`.
    pub w: Vec<f32>,
    /// `b`.
    pub b: Vec<f32>,
    /// `r`.
    pub r: Vec<f32>,
    /// `aux`.
    pub aux: Vec<f32>,
    /// `dy`.
    pub dy: Vec<f32>,
}

impl Numbers {
    pub fn new(kind: CellKind, problem: &Problem<'_>) -> Self {
        let (spec, inputs, rows) = (kind.spec(), problem.inputs, problem.lengths.rows());
        let biases = problem.biases(spec);
        Self {
            x: random(rows * inputs, 1.0, "x"),
            w: random(biases * inputs, 1.0 / (inputs as f32).sqrt(), "w"),
            b: random(biases, 1.0, "b"),
            r: random(problem.recurrent(spec), 1.0 / (problem.seen() as f32).sqrt(), "r"),
            aux: random(problem.aux(spec), 0.5, "aux"),
            dy: random(rows * problem.directions * problem.output(), 1.0, "dy"),
        }
    }

    pub fn input(&self) -> (&[f32], Weights<'_>) {
        (&self.x, Weights { w: &self.w, b: &self.b, r: &self.r, aux: &self.aux })
    }
}

pub fn wide(v: &[f32]) -> Vec<f64> {
    v.iter().map(|x| f64::from(*x)).collect()
}

/// The output and all gradients, of x, w, b, r and aux, by the definition.
struct Reference<'a>(Problem<'a>, &'a Numbers);

impl Visitor for Reference<'_> {
    type Output = (Vec<f64>, [Vec<f64>; 5]);
    fn visit<C: Cell>(self) -> Self::Output {
        let Self(problem, numbers) = self;
        let [x, w, b] = [&numbers.x, &numbers.w, &numbers.b].map(|v| wide(v));
        let (a, r, aux) = (linear::forward(&x, &w, &b, problem.inputs), wide(&numbers.r), wide(&numbers.aux));
        let input = reference::Input { a: &a, r: &r, aux: &aux };
        let d = reference::backward::<C>(&problem, input, &wide(&numbers.dy));
        let (dx, dw, db) = linear::backward(&x, &w, &d.a, (problem.inputs, b.len()), true);
        (reference::forward::<C>(&problem, input), [dx.unwrap_or_default(), dw, db, d.r, d.aux])
    }
}

pub fn assert_close(ours: &[f32], truth: &[f64], what: &str) {
    assert_eq!(ours.len(), truth.len(), "{what}");
    let scale = truth.iter().fold(1.0_f64, |m, v| m.max(v.abs()));
    for (i, (a, b)) in ours.iter().zip(truth).enumerate() {
        assert!((f64::from(*a) - b).abs() < 1e-5 * scale, "{what}[{i}]: {a} instead of {b}");
    }
}

/// Calls `check` with every cell at every shape: the problem, its numbers, and by the definition the output and the
/// gradients of x, w, b, r and aux. Slow checkers ask for some shapes only.
pub fn each(mut check: impl FnMut(CellKind, &Problem<'_>, &Numbers, &[f64], &[Vec<f64>; 5])) {
    for &kind in CellKind::ALL {
        for (n, &(lengths, directions, hidden, projection, heads)) in SHAPES.iter().enumerate() {
            if !can(kind, projection) || !crate::lengths::wanted_by_checkers(n) {
                continue;
            }
            let lengths = Lengths::new(lengths);
            let carry = carry(kind, projection, &lengths, (directions, hidden));
            let shape = Shape { directions, inputs: 5, hidden, projection, heads };
            let problem = Problem { shape, lengths: &lengths, carry: &carry };
            let numbers = Numbers::new(kind, &problem);
            let (y, d) = kind.visit(Reference(problem, &numbers));
            check(kind, &problem, &numbers, &y, &d);
        }
    }
}

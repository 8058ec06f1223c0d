//! The fast path against the definition, for every cell, instruction set and shape.
#![forbid(unsafe_code)]

use super::super::carry::Carry;
use super::super::cells::{Cell, CellKind, Visitor};
use super::super::problem::Shape;
use super::super::reference;
use super::*;
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
];

/// Whether a cell can be asked for this.
fn can(kind: CellKind, projection: usize) -> bool {
    projection == 0 || kind.spec().projects
}

/// Zoneout and clipping wherever they can be, so that every test has them.
fn carry(kind: CellKind, projection: usize, lengths: &Lengths, shape: (usize, usize)) -> Carry {
    match (kind, projection) {
        // Its states are scaled by each other.
        (CellKind::Slstm, _) => Carry::default(),
        (_, 0) => Carry::new(0.7, [0.2, 0.4], lengths, shape, Some(&mut Rng::stream(1, "zoneout", 0))),
        _ => Carry { clip: 0.7, shares: Vec::new() },
    }
}

fn random(n: usize, scale: f32, purpose: &str) -> Vec<f32> {
    let mut rng = Rng::stream(1, purpose, n as u64);
    (0..n).map(|_| scale * rng.normal()).collect()
}

/// Numbers for a layer.
struct Numbers {
    x: Vec<f32>,
    w: Vec<f32>,
    b: Vec<f32>,
    r: Vec<f32>,
    aux: Vec<f32>,
    dy: Vec<f32>,
}

impl Numbers {
    fn new(kind: CellKind, problem: &Problem<'_>) -> Self {
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

    fn input(&self) -> (&[f32], Weights<'_>) {
        (&self.x, Weights { w: &self.w, b: &self.b, r: &self.r, aux: &self.aux })
    }
}

fn wide(v: &[f32]) -> Vec<f64> {
    v.iter().map(|x| f64::from(*x)).collect()
}

/// The output and all gradients, in the order of [`InputGradients`], by the definition.
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

fn assert_close(ours: &[f32], truth: &[f64], what: &str) {
    assert_eq!(ours.len(), truth.len(), "{what}");
    let scale = truth.iter().fold(1.0_f64, |m, v| m.max(v.abs()));
    for (i, (a, b)) in ours.iter().zip(truth).enumerate() {
        assert!((f64::from(*a) - b).abs() < 1e-5 * scale, "{what}[{i}]: {a} instead of {b}");
    }
}

#[test]
fn every_path_agrees_with_the_definition() {
    for &kind in CellKind::ALL {
        for &(lengths, directions, hidden, projection, heads) in SHAPES {
            if !can(kind, projection) {
                continue;
            }
            let lengths = Lengths::new(lengths);
            let carry = carry(kind, projection, &lengths, (directions, hidden));
            let problem = Problem {
                shape: Shape { directions, inputs: 5, hidden, projection, heads },
                lengths: &lengths,
                carry: &carry,
            };
            let numbers = Numbers::new(kind, &problem);
            let (y, d) = kind.visit(Reference(problem, &numbers));
            let (x, weights) = numbers.input();
            let forward_on = |path: Path, keep: bool| {
                PackedLayer::new(kind, problem.shape, weights, Precision::F32, path).run(&problem, x, keep)
            };
            for path in Path::available() {
                let what = |part: &str| format!("{part} of {kind:?} on {path:?}, H = {hidden}, {:?}", lengths.sorted());
                let (ours, saved) = forward_on(path, true);
                assert_close(&ours, &y, &what("y"));
                let Some(saved) = saved else { panic!("nothing kept") };
                let ours_d = backward(kind, &problem, &saved, numbers.input(), (&ours, &numbers.dy), true);
                let ours_d = [ours_d.x.expect("asked for"), ours_d.w, ours_d.b, ours_d.r, ours_d.aux];
                for ((ours, truth), part) in ours_d.iter().zip(&d).zip(["dx", "dw", "db", "dr", "daux"]) {
                    assert_close(ours, truth, &what(part));
                }
                let inferred = forward_on(path, false).0;
                assert_eq!(inferred, ours, "{}", what("inference"));
            }
        }
    }
}

#[test]
fn threads_and_batch_mates_change_no_bit() {
    for &kind in CellKind::ALL {
        let (directions, hidden) = (2, 20);
        let all = Lengths::new(&[9, 7, 7, 3, 2]);
        let carry = Carry::default();
        let problem = Problem {
            shape: Shape { directions, inputs: 6, hidden, projection: 0, heads: 1 },
            lengths: &all,
            carry: &carry,
        };
        let numbers = Numbers::new(kind, &problem);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| {
                let (y, saved) = forward(kind, &problem, numbers.input(), true);
                let d = backward(kind, &problem, &saved.expect("kept"), numbers.input(), (&y, &numbers.dy), true);
                (y, d)
            })
        };
        let one = run(1);
        assert!([2, 3, 8].into_iter().all(|threads| run(threads) == one), "{kind:?}");

        // Utterance 1 alone.
        let alone = Lengths::new(&[7]);
        let row = |t: usize| &numbers.x[all.row(t, 1) * problem.inputs..][..problem.inputs];
        let own: Vec<f32> = (0..7).flat_map(row).copied().collect();
        let problem = Problem { lengths: &alone, ..problem };
        let (y, _) = forward(kind, &problem, (&own, numbers.input().1), false);
        for t in 0..7 {
            let (ours, theirs) = (t * directions * hidden, all.row(t, 1) * directions * hidden);
            assert_eq!(y[ours..ours + directions * hidden], one.0[theirs..theirs + directions * hidden], "{kind:?}");
        }
    }
}

#[test]
fn the_definition_agrees_with_finite_differences() {
    struct Check<'a>(Problem<'a>, [Vec<f64>; 3], Vec<f64>);
    impl Visitor for Check<'_> {
        type Output = ();
        fn visit<C: Cell>(self) {
            let Check(problem, mut numbers, dy) = self;
            let input = |numbers: &[Vec<f64>; 3]| {
                reference::forward::<C>(&problem, reference::Input { a: &numbers[0], r: &numbers[1], aux: &numbers[2] })
            };
            let x = reference::Input { a: &numbers[0], r: &numbers[1], aux: &numbers[2] };
            let d = reference::backward::<C>(&problem, x, &dy);
            let loss = |numbers: &[Vec<f64>; 3]| input(numbers).iter().zip(&dy).map(|(y, d)| y * d).sum::<f64>();
            let step = 1e-5;
            for (which, gradient) in [d.a, d.r, d.aux].into_iter().enumerate() {
                for (i, gradient) in gradient.into_iter().enumerate() {
                    let mut probe = |delta: f64| {
                        numbers[which][i] += delta;
                        let value = loss(&numbers);
                        numbers[which][i] -= delta;
                        value
                    };
                    let numeric = (probe(step) - probe(-step)) / (2.0 * step);
                    let bound = 1e-6 * (1.0 + gradient.abs());
                    assert!((numeric - gradient).abs() < bound, "{} {which} {i}: {numeric} {gradient}", C::SPEC.name);
                }
            }
        }
    }
    let lengths = Lengths::new(&[4, 2, 1]);
    for &kind in CellKind::ALL {
        for (projection, heads) in [(0, 1), (0, 2), (3, 1)] {
            if !can(kind, projection) {
                continue;
            }
            let carry = carry(kind, projection, &lengths, (2, 4));
            let problem = Problem {
                shape: Shape { directions: 2, inputs: 1, hidden: 4, projection, heads },
                lengths: &lengths,
                carry: &carry,
            };
            let Numbers { r, aux, dy, .. } = Numbers::new(kind, &problem);
            let a = random(lengths.rows() * problem.biases(kind.spec()), 1.5, "a");
            kind.visit(Check(problem, [wide(&a), wide(&r), wide(&aux)], wide(&dy)));
        }
    }
}

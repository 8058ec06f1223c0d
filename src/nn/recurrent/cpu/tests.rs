//! The fast path against the definition, for every cell, instruction set and shape.

use super::super::cells::{Cell, CellKind, Visitor};
use super::super::reference;
use super::*;
use crate::rng::Rng;

const SHAPES: &[(&[usize], usize, usize)] = &[
    (&[1], 1, 1),
    (&[5], 2, 3),
    (&[3, 7, 7, 1, 0], 2, 17),
    (&[4, 9, 2, 6, 6, 5, 8, 1], 1, 33),
    (&[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14], 2, 8),
];

fn random(n: usize, scale: f32, seed: u64) -> Vec<f32> {
    let mut rng = Rng::stream(seed, "test", n as u64);
    (0..n).map(|_| scale * rng.normal()).collect()
}

struct Reference<'a>(Problem<'a>, &'a [f32], &'a [f32], &'a [f32]);

impl Visitor for Reference<'_> {
    type Output = (Vec<f64>, Vec<f64>, Vec<f64>);
    fn visit<C: Cell, const G: usize>(self) -> Self::Output {
        let wide = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let (a, r, dy) = (wide(self.1), wide(self.2), wide(self.3));
        let (da, dr) = reference::backward::<C>(&self.0, &a, &r, &dy);
        (reference::forward::<C>(&self.0, &a, &r), da, dr)
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
        for &(lengths, directions, hidden) in SHAPES {
            let lengths = Lengths::new(lengths);
            let problem = Problem { lengths: &lengths, directions, hidden };
            let (rows, gates) = (lengths.rows(), kind.spec().gates.len());
            let a = random(rows * directions * gates * hidden, 1.5, 1);
            let r = random(directions * gates * hidden * hidden, 1.0 / (hidden as f32).sqrt(), 2);
            let dy = random(rows * directions * hidden, 1.0, 3);
            let (y, da, dr) = kind.visit(Reference(problem, &a, &r, &dy));
            for path in Path::available() {
                let what = |part: &str| format!("{part} of {kind:?} on {path:?}, H = {hidden}, {:?}", lengths.sorted());
                let (ours, saved) = forward_on(path, kind, &problem, &a, &r, true);
                assert_close(&ours, &y, &what("y"));
                let Some(saved) = saved else { panic!("nothing kept") };
                let (ours_da, ours_dr) = backward(kind, &problem, &saved, &r, &ours, &dy);
                assert_close(&ours_da, &da, &what("da"));
                assert_close(&ours_dr, &dr, &what("dr"));
                assert_eq!(forward_on(path, kind, &problem, &a, &r, false).0, ours, "{}", what("inference"));
            }
        }
    }
}

#[test]
fn threads_and_batch_mates_change_no_bit() {
    let (directions, hidden, gates) = (2, 20, 4);
    let all = Lengths::new(&[9, 7, 7, 3, 2]);
    let problem = Problem { lengths: &all, directions, hidden };
    let a = random(all.rows() * directions * gates * hidden, 1.0, 4);
    let r = random(directions * gates * hidden * hidden, 0.3, 5);
    let dy = random(all.rows() * directions * hidden, 1.0, 6);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| {
            let (y, saved) = forward(CellKind::Lstm, &problem, &a, &r, true);
            let gradients = backward(CellKind::Lstm, &problem, &saved.expect("kept"), &r, &y, &dy);
            (y, gradients)
        })
    };
    let one = run(1);
    assert!([2, 3, 8].into_iter().all(|threads| run(threads) == one));

    // Utterance 1 alone.
    let width = directions * gates * hidden;
    let alone = Lengths::new(&[7]);
    let own: Vec<f32> = (0..7).flat_map(|t| a[all.row(t, 1) * width..(all.row(t, 1) + 1) * width].to_vec()).collect();
    let problem = Problem { lengths: &alone, directions, hidden };
    let (y, _) = forward(CellKind::Lstm, &problem, &own, &r, false);
    for t in 0..7 {
        let (ours, theirs) = (t * directions * hidden, all.row(t, 1) * directions * hidden);
        assert_eq!(y[ours..ours + directions * hidden], one.0[theirs..theirs + directions * hidden]);
    }
}

#[test]
fn the_definition_agrees_with_finite_differences() {
    struct Check<'a>(Problem<'a>, Vec<f64>, Vec<f64>, Vec<f64>);
    impl Visitor for Check<'_> {
        type Output = ();
        fn visit<C: Cell, const G: usize>(self) {
            let Check(problem, mut a, mut r, dy) = self;
            let (da, dr) = reference::backward::<C>(&problem, &a, &r, &dy);
            let loss = |a: &[f64], r: &[f64]| -> f64 {
                reference::forward::<C>(&problem, a, r).iter().zip(&dy).map(|(y, d)| y * d).sum()
            };
            let step = 1e-5;
            for (which, gradient) in [&da, &dr].into_iter().enumerate() {
                for (i, gradient) in gradient.iter().enumerate() {
                    let mut probe = |delta: f64| {
                        let v = if which == 0 { &mut a[i] } else { &mut r[i] };
                        *v += delta;
                        let value = loss(&a, &r);
                        if which == 0 {
                            a[i] -= delta
                        } else {
                            r[i] -= delta
                        };
                        value
                    };
                    let numeric = (probe(step) - probe(-step)) / (2.0 * step);
                    let bound = 1e-6 * (1.0 + gradient.abs());
                    assert!((numeric - gradient).abs() < bound, "{}: {numeric} {gradient}", C::SPEC.name);
                }
            }
        }
    }
    let lengths = Lengths::new(&[4, 2, 1]);
    let wide = |v: Vec<f32>| v.into_iter().map(f64::from).collect::<Vec<_>>();
    for &kind in CellKind::ALL {
        let problem = Problem { lengths: &lengths, directions: 2, hidden: 3 };
        let gates = kind.spec().gates.len();
        let a = wide(random(lengths.rows() * 2 * gates * 3, 1.0, 7));
        let (r, dy) = (wide(random(2 * gates * 9, 0.5, 8)), wide(random(lengths.rows() * 6, 1.0, 9)));
        kind.visit(Check(problem, a, r, dy));
    }
}

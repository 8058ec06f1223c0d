//! The fast path against the definition, for every cell, instruction set and shape.
#![forbid(unsafe_code)]

use super::super::carry::Carry;
use super::super::cases::{Numbers, assert_close, can, carry, each, random, wide};
use super::super::cells::{Cell, CellKind, Visitor};
use super::super::problem::Shape;
use super::super::reference;
use super::*;
use crate::lengths::Lengths;

#[test]
fn every_path_agrees_with_the_definition() {
    each(|kind, problem, numbers, y, d| {
        let (x, weights) = numbers.input();
        let forward_on = |path: Path, keep: bool| {
            PackedLayer::new(kind, problem.shape, weights, Precision::F32, path).run(problem, x, keep)
        };
        for path in Path::available() {
            let what = |part: &str| {
                format!("{part} of {kind:?} on {path:?}, {:?}, {:?}", problem.shape, problem.lengths.sorted())
            };
            let (ours, saved) = forward_on(path, true);
            assert_close(&ours, y, &what("y"));
            let Some(saved) = saved else { panic!("nothing kept") };
            let ours_d = backward(kind, problem, &saved, numbers.input(), (&ours, &numbers.dy), true);
            let ours_d = [ours_d.x.expect("asked for"), ours_d.w, ours_d.b, ours_d.r, ours_d.aux];
            for ((ours, truth), part) in ours_d.iter().zip(d).zip(["dx", "dw", "db", "dr", "daux"]) {
                assert_close(ours, truth, &what(part));
            }
            let inferred = forward_on(path, false).0;
            assert_eq!(inferred, ours, "{}", what("inference"));
        }
    });
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

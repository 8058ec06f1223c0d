//! LSTM whose gates see the cells instead of the outputs, all of them through full matrices: the other form in which
//! "peephole LSTM" is written, with tanh or nothing between cell and output. The candidate sees the input only.
//!
//! ```text
//! i = σ(a_i + r_i)   f = σ(a_f + r_f)   o = σ(a_o + r_o)   g = tanh(a_g)      r = c R^T
//! c' = f c + i g     h' = o tanh(c'), or h' = o c'
//! ```
#![forbid(unsafe_code)]

use super::{Cell, Gradients, Lane, Spec, Step, StepGrad};

/// With tanh.
pub struct LstmCellGates;

/// Without.
pub struct LstmCellGatesLinear;

const SPEC: Spec = Spec {
    recurrent: 3,
    output: 1,
    bias: &[0.0, 1.0, 0.0, 0.0],
    saved: &["i", "f", "o", "g", "squashed c'"],
    ..Spec::plain("lstm-cell-gates", &["i", "f", "o", "g"], &["c", "h"])
};

#[inline(always)]
fn step<L: Lane>(squash: impl Fn(L) -> L, x: &Step<'_, L>, next: &mut [L], saved: &mut [L]) {
    let (i, f) = ((x.a[0] + x.r[0]).sigmoid(), (x.a[1] + x.r[1]).sigmoid());
    let (o, g) = ((x.a[2] + x.r[2]).sigmoid(), x.a[3].tanh());
    let c = f * x.prev[0] + i * g;
    let squashed = squash(c);
    next.copy_from_slice(&[c, o * squashed]);
    saved.copy_from_slice(&[i, f, o, g, squashed]);
}

/// `slope` is the squashing function's, of its value.
#[inline(always)]
fn step_grad<L: Lane>(slope: impl Fn(L) -> L, x: &StepGrad<'_, L>, d: &mut Gradients<'_, L>) {
    let (i, f, o, g, squashed) = (x.saved[0], x.saved[1], x.saved[2], x.saved[3], x.saved[4]);
    let dc = x.next[0] + x.next[1] * o * slope(squashed);
    d.a.copy_from_slice(&[
        dc * g * i.d_sigmoid(),
        dc * x.prev[0] * f.d_sigmoid(),
        x.next[1] * squashed * o.d_sigmoid(),
        dc * i * g.d_tanh(),
    ]);
    d.prev.copy_from_slice(&[dc * f, dc.splat(0.0)]);
}

impl Cell for LstmCellGates {
    const SPEC: Spec = SPEC;

    #[inline(always)]
    fn step<L: Lane>(x: &Step<'_, L>, next: &mut [L], saved: &mut [L]) {
        step(L::tanh, x, next, saved);
    }

    #[inline(always)]
    fn step_grad<L: Lane>(x: &StepGrad<'_, L>, d: &mut Gradients<'_, L>) {
        step_grad(L::d_tanh, x, d);
    }
}

impl Cell for LstmCellGatesLinear {
    const SPEC: Spec = Spec { name: "lstm-cell-gates-linear", ..SPEC };

    #[inline(always)]
    fn step<L: Lane>(x: &Step<'_, L>, next: &mut [L], saved: &mut [L]) {
        step(|c| c, x, next, saved);
    }

    #[inline(always)]
    fn step_grad<L: Lane>(x: &StepGrad<'_, L>, d: &mut Gradients<'_, L>) {
        step_grad(|c| c.splat(1.0), x, d);
    }
}

//! LSTM whose gates see the cells instead of the outputs, all of them through full matrices: the other form in which
//! "peephole LSTM" is written. The candidate sees the input only.
//!
//! ```text
//! i = σ(a_i + r_i)   f = σ(a_f + r_f)   o = σ(a_o + r_o)   g = tanh(a_g)      r = c R^T
//! c' = f c + i g     h' = o tanh(c')
//! ```
#![forbid(unsafe_code)]

use super::{Cell, Gradients, Lane, Spec, Step, StepGrad};

/// See the module.
pub struct LstmCellGates;

impl Cell for LstmCellGates {
    const SPEC: Spec = Spec {
        recurrent: 3,
        output: 1,
        bias: &[0.0, 1.0, 0.0, 0.0],
        saved: &["i", "f", "o", "g", "tanh_c"],
        ..Spec::plain("lstm-cell-gates", &["i", "f", "o", "g"], &["c", "h"])
    };

    #[inline(always)]
    fn step<L: Lane>(x: &Step<'_, L>, next: &mut [L], saved: &mut [L]) {
        let (i, f) = ((x.a[0] + x.r[0]).sigmoid(), (x.a[1] + x.r[1]).sigmoid());
        let (o, g) = ((x.a[2] + x.r[2]).sigmoid(), x.a[3].tanh());
        let c = f * x.prev[0] + i * g;
        let tanh_c = c.tanh();
        next.copy_from_slice(&[c, o * tanh_c]);
        saved.copy_from_slice(&[i, f, o, g, tanh_c]);
    }

    #[inline(always)]
    fn step_grad<L: Lane>(x: &StepGrad<'_, L>, d: &mut Gradients<'_, L>) {
        let (i, f, o, g, tanh_c) = (x.saved[0], x.saved[1], x.saved[2], x.saved[3], x.saved[4]);
        let dc = x.next[0] + x.next[1] * o * tanh_c.d_tanh();
        d.a.copy_from_slice(&[
            dc * g * i.d_sigmoid(),
            dc * x.prev[0] * f.d_sigmoid(),
            x.next[1] * tanh_c * o.d_sigmoid(),
            dc * i * g.d_tanh(),
        ]);
        d.prev.copy_from_slice(&[dc * f, dc.splat(0.0)]);
    }
}

//! LSTM with forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000), in PyTorch's gate order.
//!
//! ```text
//! i = σ(a_i + r_i)   f = σ(a_f + r_f)   g = tanh(a_g + r_g)   o = σ(a_o + r_o)
//! c' = f c + i g     h' = o tanh(c')
//! ```
#![forbid(unsafe_code)]

use super::{Cell, Gradients, Lane, Spec, Step, StepGrad};

/// See the module.
pub struct Lstm;

impl Cell for Lstm {
    const SPEC: Spec = Spec {
        bias: &[0.0, 1.0, 0.0, 0.0],
        saved: &["i", "f", "g", "o"],
        projects: true,
        ..Spec::plain("lstm", &["i", "f", "g", "o"], &["h", "c"])
    };

    #[inline(always)]
    fn step<L: Lane>(x: &Step<'_, L>, next: &mut [L], saved: &mut [L]) {
        let (i, f) = ((x.a[0] + x.r[0]).sigmoid(), (x.a[1] + x.r[1]).sigmoid());
        let (g, o) = ((x.a[2] + x.r[2]).tanh(), (x.a[3] + x.r[3]).sigmoid());
        let c = f * x.prev[1] + i * g;
        next.copy_from_slice(&[o * c.tanh(), c]);
        saved.copy_from_slice(&[i, f, g, o]);
    }

    #[inline(always)]
    fn step_grad<L: Lane>(x: &StepGrad<'_, L>, d: &mut Gradients<'_, L>) {
        let (i, f, g, o) = (x.saved[0], x.saved[1], x.saved[2], x.saved[3]);
        // Made anew: that costs less than to keep it.
        let tanh_c = (f * x.prev[1] + i * g).tanh();
        let dc = x.next[1] + x.next[0] * o * tanh_c.d_tanh();
        d.a.copy_from_slice(&[
            dc * g * i.d_sigmoid(),
            dc * x.prev[1] * f.d_sigmoid(),
            dc * i * g.d_tanh(),
            x.next[0] * tanh_c * o.d_sigmoid(),
        ]);
        d.prev.copy_from_slice(&[dc.splat(0.0), dc * f]);
    }
}

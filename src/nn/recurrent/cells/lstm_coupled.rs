//! LSTM with coupled input and forget gate (CIFG, Greff et al. 2017): what comes in takes the place of what goes.
//!
//! ```text
//! i = σ(a_i + r_i)       g = tanh(a_g + r_g)   o = σ(a_o + r_o)
//! c' = (1 - i) c + i g   h' = o tanh(c')
//! ```
#![forbid(unsafe_code)]

use super::{Cell, Gradients, Lane, Spec, Step, StepGrad};

/// See the module.
pub struct LstmCoupled;

impl Cell for LstmCoupled {
    const SPEC: Spec = Spec {
        bias: &[-1.0, 0.0, 0.0],
        saved: &["i", "g", "o"],
        projects: true,
        ..Spec::plain("lstm-coupled", &["i", "g", "o"], &["h", "c"])
    };

    #[inline(always)]
    fn step<L: Lane>(x: &Step<'_, L>, next: &mut [L], saved: &mut [L]) {
        let (i, g) = ((x.a[0] + x.r[0]).sigmoid(), (x.a[1] + x.r[1]).tanh());
        let o = (x.a[2] + x.r[2]).sigmoid();
        let c = x.prev[1] + i * (g - x.prev[1]);
        next.copy_from_slice(&[o * c.tanh(), c]);
        saved.copy_from_slice(&[i, g, o]);
    }

    #[inline(always)]
    fn step_grad<L: Lane>(x: &StepGrad<'_, L>, d: &mut Gradients<'_, L>) {
        let (i, g, o) = (x.saved[0], x.saved[1], x.saved[2]);
        let tanh_c = (x.prev[1] + i * (g - x.prev[1])).tanh();
        let dc = x.next[1] + x.next[0] * o * tanh_c.d_tanh();
        d.a.copy_from_slice(&[
            dc * (g - x.prev[1]) * i.d_sigmoid(),
            dc * i * g.d_tanh(),
            x.next[0] * tanh_c * o.d_sigmoid(),
        ]);
        d.prev.copy_from_slice(&[dc.splat(0.0), dc - dc * i]);
    }
}

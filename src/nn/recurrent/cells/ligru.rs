//! Light GRU (Ravanelli et al. 2018, equations 9 to 11): no reset gate, and a rectifier. The paper normalises the input
//! parts over the batch; here `layer_norm` normalises outputs.
//!
//! ```text
//! z = σ(a_z + r_z)   n = max(a_n + r_n, 0)
//! h' = z h + (1 - z) n
//! ```
#![forbid(unsafe_code)]

use super::{Cell, Gradients, Lane, Spec, Step, StepGrad};

/// See the module.
pub struct LiGru;

impl Cell for LiGru {
    const SPEC: Spec = Spec { saved: &["z", "n"], ..Spec::plain("ligru", &["z", "n"], &["h"]) };

    #[inline(always)]
    fn step<L: Lane>(x: &Step<'_, L>, next: &mut [L], saved: &mut [L]) {
        let (z, n) = ((x.a[0] + x.r[0]).sigmoid(), (x.a[1] + x.r[1]).relu());
        next.copy_from_slice(&[n + z * (x.prev[0] - n)]);
        saved.copy_from_slice(&[z, n]);
    }

    #[inline(always)]
    fn step_grad<L: Lane>(x: &StepGrad<'_, L>, d: &mut Gradients<'_, L>) {
        let (z, n) = (x.saved[0], x.saved[1]);
        let d_n = (x.next[0] - x.next[0] * z) * n.positive();
        d.a.copy_from_slice(&[x.next[0] * (x.prev[0] - n) * z.d_sigmoid(), d_n]);
        d.prev.copy_from_slice(&[x.next[0] * z]);
    }
}

//! Independently recurrent network (Li et al. 2018, equation 2): a unit hears only itself. No product a step.
//!
//! ```text
//! h' = max(a + u h, 0)
//! ```
#![forbid(unsafe_code)]

use super::{Aux, Cell, Gradients, Lane, Spec, Step, StepGrad};

/// See the module.
pub struct IndRnn;

impl Cell for IndRnn {
    const SPEC: Spec = Spec {
        recurrent: 0,
        aux: &[Aux { name: "u", low: 0.0, high: 1.0 }],
        saved: &["h'"],
        ..Spec::plain("indrnn", &["h"], &["h"])
    };

    #[inline(always)]
    fn step<L: Lane>(x: &Step<'_, L>, next: &mut [L], saved: &mut [L]) {
        next[0] = (x.a[0] + x.aux[0] * x.prev[0]).relu();
        saved[0] = next[0];
    }

    #[inline(always)]
    fn step_grad<L: Lane>(x: &StepGrad<'_, L>, d: &mut Gradients<'_, L>) {
        d.a[0] = x.next[0] * x.saved[0].positive();
        d.aux[0] = d.a[0] * x.prev[0];
        d.prev[0] = d.a[0] * x.aux[0];
    }
}

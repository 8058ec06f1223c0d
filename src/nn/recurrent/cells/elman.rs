//! The simple recurrent network (Elman 1990), with tanh or with a rectifier: `h' = tanh(a + r)`, `h' = max(a + r, 0)`.
#![forbid(unsafe_code)]

use super::{Cell, Gradients, Lane, Spec, Step, StepGrad};

/// With tanh.
pub struct ElmanTanh;

impl Cell for ElmanTanh {
    const SPEC: Spec = Spec { saved: &["h'"], projects: true, ..Spec::plain("elman-tanh", &["h"], &["h"]) };

    #[inline(always)]
    fn step<L: Lane>(x: &Step<'_, L>, next: &mut [L], saved: &mut [L]) {
        next[0] = (x.a[0] + x.r[0]).tanh();
        saved[0] = next[0];
    }

    #[inline(always)]
    fn step_grad<L: Lane>(x: &StepGrad<'_, L>, d: &mut Gradients<'_, L>) {
        d.a[0] = x.next[0] * x.saved[0].d_tanh();
        d.prev[0] = d.a[0].splat(0.0);
    }
}

/// With a rectifier.
pub struct ElmanRelu;

impl Cell for ElmanRelu {
    const SPEC: Spec = Spec { saved: &["h'"], projects: true, ..Spec::plain("elman-relu", &["h"], &["h"]) };

    #[inline(always)]
    fn step<L: Lane>(x: &Step<'_, L>, next: &mut [L], saved: &mut [L]) {
        next[0] = (x.a[0] + x.r[0]).relu();
        saved[0] = next[0];
    }

    #[inline(always)]
    fn step_grad<L: Lane>(x: &StepGrad<'_, L>, d: &mut Gradients<'_, L>) {
        d.a[0] = x.next[0] * x.saved[0].positive();
        d.prev[0] = d.a[0].splat(0.0);
    }
}

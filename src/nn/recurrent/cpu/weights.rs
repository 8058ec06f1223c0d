//! The weights of a layer as its loops read them, packed for every head of every direction.
#![forbid(unsafe_code)]

use super::unit::Head;
use crate::nn::matrix::{Matrix, Precision};
use crate::nn::panels::Panels;
use crate::nn::recurrent::cells::{CellKind, Spec};
use crate::nn::recurrent::problem::Shape;
use crate::nn::simd::Path;
use std::ops::Range;

/// The weights of a layer, all row-major.
#[derive(Clone, Copy)]
pub struct Weights<'a> {
    /// `[D G H, F]`.
    pub w: &'a [f32],
    /// `[D G H]`.
    pub b: &'a [f32],
    /// `[D, G H, H / heads]`, only the gates that have a recurrent part; with a projection to P, `[D, (G + 1) H, P]`.
    pub r: &'a [f32],
    /// `[D, A, H]`.
    pub aux: &'a [f32],
}

/// A layer that is ready to run forward.
pub struct PackedLayer {
    pub(super) kind: CellKind,
    pub(super) path: Path,
    shape: Shape,
    heads: Vec<PackedHead>,
}

/// What the loop of one head reads.
pub struct PackedHead {
    /// W, `[F]` to `[G, H padded]`.
    pub input: Matrix,
    /// `[G, H padded]`.
    pub bias: Vec<f32>,
    /// R of the gates that see state 0, `[seen]` to `[R, H padded]`.
    pub first: Matrix,
    /// R of the gates that see the modulated state, `[H]` to `[M, H padded]`.
    pub second: Matrix,
    /// The projection, `[H]` to `[P]`.
    pub projection: Panels,
    /// `[A, H]`, the direction's.
    pub aux: Vec<f32>,
}

impl PackedLayer {
    /// Packs the weights of a layer for an instruction set.
    pub fn new(kind: CellKind, shape: Shape, weights: Weights<'_>, precision: Precision, path: Path) -> Self {
        let heads = Head::all(shape).map(|head| head.pack(kind.spec(), weights, (precision, path))).collect();
        Self { kind, path, shape, heads }
    }

    /// The cell.
    pub fn kind(&self) -> CellKind {
        self.kind
    }

    /// The layer's shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The weights of one head.
    pub fn head(&self, head: Head) -> &PackedHead {
        &self.heads[head.direction * self.shape.heads + head.head]
    }
}

impl Head {
    fn pack(&self, spec: &Spec, weights: Weights<'_>, how: (Precision, Path)) -> PackedHead {
        let (lanes, recurrent, all) = (how.1.lanes(), spec.recurrent, spec.rows_of_r());
        let [w, b, r, aux] = [weights.w, weights.b, weights.r, weights.aux].map(|all| self.part(all));
        let mut bias = Vec::new();
        for g in 0..spec.gates.len() {
            bias.extend_from_slice(&b[self.column(g)..][..self.hidden()]);
            bias.resize(bias.len().next_multiple_of(lanes), 0.0);
        }
        let projection = all..self.shape.groups(spec);
        PackedHead {
            input: self.along(how, w, self.shape.inputs, 0..spec.gates.len()),
            bias,
            first: self.along(how, r, self.seen(), 0..recurrent),
            second: self.along(how, r, self.seen(), recurrent..all),
            projection: self.down(r, projection, lanes),
            aux: aux.to_vec(),
        }
    }

    /// The rows of some groups of the direction's `weights`, one for each of the head's units, as columns of a product
    /// along them: `[depth]` to `[groups, H padded to whole vectors]`.
    pub fn along(&self, how: (Precision, Path), weights: &[f32], depth: usize, groups: Range<usize>) -> Matrix {
        let (hidden, padded) = (self.hidden(), self.hidden().next_multiple_of(how.1.lanes()));
        let row = |c: usize| (c % padded < hidden).then(|| self.column(groups.start + c / padded) + c % padded);
        Matrix::of_rows(how, weights, depth, groups.len() * padded, row)
    }

    /// The same rows of R as rows of a product down them: `[groups H]` to `[P or H]`.
    pub fn down(&self, r: &[f32], groups: Range<usize>, lanes: usize) -> Panels {
        let hidden = self.hidden();
        let row = |k: usize| self.column(groups.start + k / hidden) + k % hidden;
        Panels::of_columns(r, groups.len() * hidden, self.seen(), row, lanes)
    }
}

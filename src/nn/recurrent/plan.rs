//! How the blocks of a launch share a recurrent layer's work on a GPU: which path it takes, and in which shape.
#![forbid(unsafe_code)]

use super::cells::CellKind;
use super::problem::Shape;
use crate::cuda::{Grid, Limits};
use candle_core::Result;

/// Of `kernels/cluster.cu`: blocks of a cluster, units that one may have, threads that share a unit, and utterances of a
/// slice that there are kernels for.
const BLOCKS: usize = 8;
const UNITS: usize = 32;
const LANES: usize = 16;
const SLICES: [usize; 4] = [1, 3, 6, 10];

/// Of `kernels/recurrent.cu`: utterances of a slice, threads of a block, the most columns of a product, and the numbers of
/// shared memory beside weights and what gates hear (SCRATCH).
const ROWS: usize = 16;
const THREADS: usize = 256;
const MOST_COLUMNS: usize = 128;
const SCRATCH: usize = 256 * 20 + THREADS * 8 + MOST_COLUMNS * ROWS;

/// How the steps of a sequence are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// All in one launch, by clusters of blocks: weights in registers, states exchanged through shared memory.
    Clusters,
    /// All in one launch: weights in shared memory, states exchanged through the chip's cache.
    Grid,
    /// Each phase of each step is a launch.
    Steps,
}

impl Path {
    /// The first path that may be taken, as the variable FORMANT_RECURRENT says: `grid`, `stepwise`; otherwise the fastest.
    pub fn first() -> Self {
        match std::env::var("FORMANT_RECURRENT").as_deref() {
            Ok("grid") => Self::Grid,
            Ok("stepwise") => Self::Steps,
            _ => Self::Clusters,
        }
    }
}

/// What is to be launched.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// The layer's cell.
    pub kind: CellKind,
    /// And shape.
    pub shape: Shape,
    /// Utterances.
    pub batch: usize,
    /// Whether it is the backward pass.
    pub backward: bool,
}

/// A launch's shape. Blocks come in groups: one for each direction, head and slice of utterances.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// How it goes.
    pub path: Path,
    /// The kernel's file and name.
    pub kernel: (&'static str, String),
    /// Utterances of a slice.
    pub rows: usize,
    /// How many slices.
    pub slices: usize,
    /// How many groups.
    pub groups: usize,
    /// Blocks of a group.
    pub blocks: usize,
    /// Hidden units of a block.
    pub units: usize,
    /// Columns of the projection of a block.
    pub columns: usize,
    /// All blocks, and what each has.
    pub grid: Grid,
}

impl Pass {
    /// The choice of a path, no better than `first`. `at_once` says how many of a plan's groups the device runs at once.
    pub fn plan(&self, first: Path, limits: Limits, at_once: impl Fn(&Plan) -> Result<usize>) -> Result<Plan> {
        if first == Path::Clusters && limits.clusters && self.suits_clusters() {
            // The fewer utterances share a cluster, the sooner a step is done, unless some have to wait for others to end.
            for rows in SLICES {
                let plan = self.clusters(rows);
                if plan.groups <= at_once(&plan)? || rows == SLICES[SLICES.len() - 1] {
                    return Ok(plan);
                }
            }
        }
        if first != Path::Steps {
            // The fewer units a block has, the sooner a step is done. All must be resident at once: they wait for each other.
            for units in 1..=self.most_units() {
                let plan = self.grid(units, true);
                let fits = plan.columns <= MOST_COLUMNS && plan.grid.shared <= limits.shared;
                if fits && plan.groups <= at_once(&plan)? {
                    return Ok(plan);
                }
            }
        }
        let head = self.shape.head();
        let blocks = head.div_ceil(self.most_units()).max(self.shape.projection.div_ceil(MOST_COLUMNS));
        Ok(self.grid(head.div_ceil(blocks), false))
    }

    fn suits_clusters(&self) -> bool {
        let spec = self.kind.spec();
        spec.hears_state_alone() && self.shape.projection == 0 && self.shape.head() <= BLOCKS * UNITS
    }

    /// Slices of so many utterances, and groups.
    fn dealt_out(&self, rows: usize) -> (usize, usize) {
        let slices = self.batch.div_ceil(rows);
        (slices, self.shape.directions * self.shape.heads * slices)
    }

    fn direction(&self) -> &'static str {
        if self.backward { "backward" } else { "forward" }
    }

    fn clusters(&self, rows: usize) -> Plan {
        let (slices, groups) = self.dealt_out(rows);
        // Four neighbouring units are one block's.
        let units = self.shape.head().div_ceil(BLOCKS).next_power_of_two().max(4);
        let width = if self.backward {
            2 * rows * UNITS * (self.kind.spec().recurrent + BLOCKS)
        } else {
            2 * rows * UNITS * BLOCKS + rows * UNITS * (4 * LANES + 4)
        };
        Plan {
            path: Path::Clusters,
            kernel: ("cluster", format!("cluster_{}_{:?}_{rows}", self.direction(), self.kind)),
            rows,
            slices,
            groups,
            blocks: BLOCKS,
            units,
            columns: 0,
            // Behind the numbers, two barriers of 64 bits.
            grid: Grid { blocks: groups * BLOCKS, threads: LANES * UNITS, shared: width + 4, cooperative: false },
        }
    }

    /// In one launch if `resident`, or step by step.
    fn grid(&self, units: usize, resident: bool) -> Plan {
        let (spec, (slices, groups)) = (self.kind.spec(), self.dealt_out(ROWS));
        let blocks = self.shape.head().div_ceil(units);
        let columns = self.shape.projection.div_ceil(blocks);
        let own = if self.backward { 0 } else { spec.rows_of_r() * units * ROWS };
        let weights = if resident { self.weights(units, columns) } else { 0 };
        let shared = SCRATCH + own + weights;
        Plan {
            path: if resident { Path::Grid } else { Path::Steps },
            kernel: ("recurrent", format!("{}_{:?}", self.direction(), self.kind)),
            rows: ROWS,
            slices,
            groups,
            blocks,
            units,
            columns,
            grid: Grid { blocks: groups * blocks, threads: THREADS, shared, cooperative: resident },
        }
    }

    fn most_units(&self) -> usize {
        let spec = self.kind.spec();
        let gates = if self.backward { 1 } else { spec.recurrent.max(spec.modulated).max(1) };
        (MOST_COLUMNS / gates).min(self.shape.head())
    }

    /// Numbers of a block's weights.
    fn weights(&self, units: usize, columns: usize) -> usize {
        let (spec, shape) = (self.kind.spec(), self.shape);
        match (self.backward, shape.projection > 0) {
            (false, _) => shape.seen() * spec.rows_of_r() * units + shape.hidden * columns,
            (true, true) => spec.recurrent * shape.head() * columns + shape.projection * units,
            (true, false) => spec.rows_of_r() * shape.head() * units,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On an H100, which runs 15 clusters of the kernels here at once, and two blocks of 120 registers a thread on each
    /// multiprocessor.
    fn plan(kind: CellKind, hidden: usize, batch: usize, first: Path, backward: bool) -> Plan {
        let shape = Shape { directions: 2, inputs: 40, hidden, projection: 0, heads: 1 };
        let at_once = |plan: &Plan| {
            let by_shared = 58368 / (plan.grid.shared + 256);
            Ok(if plan.path == Path::Clusters { 15 } else { by_shared.min(2) * 132 / plan.blocks })
        };
        let limits = Limits { multiprocessors: 132, shared: 58112, clusters: true };
        Pass { kind, shape, batch, backward }.plan(first, limits, at_once).expect("nothing fails here")
    }

    #[test]
    fn usual_layers_go_by_clusters_all_at_once() {
        for (batch, rows) in [(1, 1), (7, 1), (16, 3), (32, 6), (64, 10), (70, 10), (100, 10)] {
            for backward in [false, true] {
                let plan = plan(CellKind::Lstm, 250, batch, Path::first(), backward);
                assert_eq!((plan.path, plan.rows), (Path::Clusters, rows), "{plan:?}");
                assert!(plan.units * plan.blocks >= 250 && plan.slices * plan.rows >= batch, "{plan:?}");
                assert!(batch > 70 || plan.groups <= 15, "{plan:?}");
            }
        }
    }

    #[test]
    fn what_is_too_wide_for_clusters_is_spread_over_the_chip() {
        for backward in [false, true] {
            for (kind, hidden, first) in [
                (CellKind::Lstm, 400, Path::Clusters),
                (CellKind::Lstm, 250, Path::Grid),
                (CellKind::GruCho, 250, Path::Clusters),
            ] {
                let plan = plan(kind, hidden, 16, first, backward);
                assert!(plan.path == Path::Grid && plan.units * plan.blocks >= hidden, "{plan:?}");
                assert!(plan.grid.blocks <= 2 * 132, "{plan:?}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_goes_step_by_step() {
        let plan = plan(CellKind::Lstm, 4096, 16, Path::Clusters, false);
        assert!(plan.path == Path::Steps && plan.units * plan.blocks >= 4096 && plan.grid.shared <= 58112, "{plan:?}");
    }
}

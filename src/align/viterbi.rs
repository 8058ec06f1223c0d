//! The most probable path through a lattice (Viterbi).
#![forbid(unsafe_code)]

use super::lattice::Lattice;
use crate::decode::LogProbs;
use std::ops::Range;

/// Up to so many states in all frames together, every path is tried: two bytes each are kept.
const ALL: usize = 64 << 20;
/// Beyond that, those that are this much less probable than the best of their frame (natural logarithm) are given up, ...
const BEAM: f32 = 200.0;
/// ... and this is tried next, if none of the others came to the end.
const WIDER: f32 = 2000.0;

/// The states of the path, frame by frame, and its log probability; nothing if there is no path, or no frame.
pub fn best_path(lattice: &Lattice, log_probs: &LogProbs) -> Option<(Vec<u32>, f32)> {
    if lattice.len() * log_probs.frames() <= ALL {
        return search(lattice, log_probs, f32::INFINITY);
    }
    [BEAM, WIDER, f32::INFINITY].into_iter().find_map(|beam| search(lattice, log_probs, beam))
}

/// In one frame, the states that were looked at, and for each which of its origins the best path came from.
struct Steps {
    first: usize,
    origins: Vec<u16>,
}

fn search(lattice: &Lattice, log_probs: &LogProbs, beam: f32) -> Option<(Vec<u32>, f32)> {
    let (leap, states) = (lattice.longest_leap(), lattice.len());
    // Log probabilities of the best paths by the state that they are in: in the last frame, and in this one.
    let mut before = vec![f32::NEG_INFINITY; states];
    let mut now = vec![f32::NEG_INFINITY; states];
    // Outside this range nothing is possible, and all is minus infinity.
    let mut alive = 0..0;
    let mut steps: Vec<Steps> = Vec::with_capacity(log_probs.frames());
    for (t, row) in log_probs.rows().enumerate() {
        let reached = if t == 0 {
            0..lattice.starts().iter().max().map_or(0, |&last| last as usize + 1)
        } else {
            alive.start..states.min(alive.end + leap)
        };
        let mut origins = vec![0; reached.len()];
        if t == 0 {
            lattice.starts().iter().for_each(|&s| now[s as usize] = lattice.emission(s).log_prob(row));
        } else {
            for s in reached.clone() {
                let (mut best, mut from) = (f32::NEG_INFINITY, 0);
                for (n, &origin) in lattice.origins(s).iter().enumerate() {
                    let score = before[origin as usize];
                    if score > best {
                        (best, from) = (score, n);
                    }
                }
                now[s] = best + lattice.emission(s as u32).log_prob(row);
                origins[s - reached.start] = from as u16;
            }
        }
        let kept = within(&now, reached.clone(), beam);
        now[reached.start..kept.start].fill(f32::NEG_INFINITY);
        now[kept.end..reached.end].fill(f32::NEG_INFINITY);
        before[alive].fill(f32::NEG_INFINITY);
        steps.push(Steps { first: reached.start, origins });
        alive = kept;
        std::mem::swap(&mut before, &mut now);
    }
    let ends = lattice.ends().iter().copied().filter(|&s| alive.contains(&(s as usize)));
    let mut state = ends.max_by(|&a, &b| before[a as usize].total_cmp(&before[b as usize]))?;
    let score = before[state as usize];
    if score == f32::NEG_INFINITY {
        return None;
    }
    let mut path = vec![0; steps.len()];
    for (t, Steps { first, origins }) in steps.iter().enumerate().rev() {
        path[t] = state;
        state = lattice.origins(state as usize)[usize::from(origins[state as usize - first])];
    }
    Some((path, score))
}

/// The part of a range outside of which all values lie more than `beam` below the best one.
fn within(values: &[f32], range: Range<usize>, beam: f32) -> Range<usize> {
    let floor = values[range.clone()].iter().copied().fold(f32::NEG_INFINITY, f32::max) - beam;
    let good = |s: &usize| values[*s] > floor;
    match (range.clone().find(good), range.clone().rev().find(good)) {
        (Some(first), Some(last)) => first..last + 1,
        _ => range.start..range.start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phones::PhoneId;
    use crate::rng::Rng;

    /// Log probability of the best of all sequences of states.
    fn exhaustive(lattice: &Lattice, log_probs: &LogProbs) -> f32 {
        let count = lattice.len();
        let mut best = f32::NEG_INFINITY;
        for code in 0..count.pow(log_probs.frames() as u32) {
            let path: Vec<usize> = (0..log_probs.frames()).map(|t| code / count.pow(t as u32) % count).collect();
            let goes = path.windows(2).all(|pair| lattice.origins(pair[1]).contains(&(pair[0] as u32)));
            let ends = |list: &[u32], state: usize| list.contains(&(state as u32));
            if goes && ends(lattice.starts(), path[0]) && ends(lattice.ends(), path[path.len() - 1]) {
                let score =
                    path.iter().enumerate().map(|(t, &s)| lattice.emission(s as u32).log_prob(log_probs.row(t)));
                best = best.max(score.sum());
            }
        }
        best
    }

    #[test]
    fn the_best_of_all_paths() -> crate::Result<()> {
        let word = |all: &[&[u16]]| all.iter().map(|p| p.iter().map(|p| PhoneId(*p)).collect()).collect::<Vec<_>>();
        let texts = [
            vec![word(&[&[1]]), word(&[&[1], &[2]])],
            vec![word(&[&[2, 2]])],
            vec![word(&[]), word(&[&[1]])],
            vec![word(&[&[1, 2], &[2]])],
        ];
        for (n, text) in texts.iter().enumerate() {
            for seed in 0..10 {
                let mut rng = Rng::stream(seed, "viterbi", n as u64);
                let log_probs = LogProbs::from_logits((0..5 * 3).map(|_| 2.0 * rng.normal()).collect(), 3)?;
                let lattice = Lattice::new(&text.iter().map(|word| &word[..]).collect::<Vec<_>>());
                let truth = exhaustive(&lattice, &log_probs);
                let (_, found) = best_path(&lattice, &log_probs).unwrap_or((Vec::new(), f32::NEG_INFINITY));
                assert!((found - truth).abs() < 1e-5, "{n} {seed}: {found} {truth}");
                let (_, found) = search(&lattice, &log_probs, 20.0).unwrap_or((Vec::new(), f32::NEG_INFINITY));
                assert!((found - truth).abs() < 1e-5, "{n} {seed} in a beam: {found} {truth}");
            }
        }
        Ok(())
    }
}

//! Many independent jobs on all threads, results in order.
//!
//! Each job runs on one thread alone: what is parallel inside it runs there one after the other. So a job's time is a
//! processor's time, threads never wait for each other, and no thread starts a second job in the middle of a first.
#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// Calls `work` with every number below `count`, on as many threads as rayon's pool has, and `take` with the results on
/// the calling thread: in order, each as soon as it and all before it are there. After [`ControlFlow::Break`] no
/// further job starts.
///
/// # Errors
/// If the system refuses a thread.
pub fn in_order<T: Send>(
    count: usize,
    work: impl Fn(usize) -> T + Sync,
    mut take: impl FnMut(usize, T) -> ControlFlow<()>,
) -> Result<()> {
    let threads = rayon::current_num_threads().min(count);
    let pools: Vec<_> = (0..threads).map(|_| one_thread()).collect::<Result<_>>()?;
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        for pool in pools {
            let (send, next, work) = (send.clone(), &next, &work);
            scope.spawn(move || {
                pool.install(|| {
                    loop {
                        let job = next.fetch_add(1, Ordering::Relaxed);
                        if job >= count || send.send((job, work(job))).is_err() {
                            break;
                        }
                    }
                });
            });
        }
        drop(send);
        deliver(&receive, &mut take);
        // Those still at work find nobody to send to, and nothing left to do.
        drop(receive);
        next.store(count, Ordering::Relaxed);
    });
    Ok(())
}

/// Hands over what arrives, in order, until all senders are gone or `take` has had enough.
fn deliver<T>(receive: &mpsc::Receiver<(usize, T)>, take: &mut impl FnMut(usize, T) -> ControlFlow<()>) {
    let mut early = BTreeMap::new();
    let mut due = 0;
    for (job, result) in receive {
        early.insert(job, result);
        while let Some(result) = early.remove(&due) {
            if take(due, result).is_break() {
                return;
            }
            due += 1;
        }
    }
}

fn one_thread() -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .map_err(|e| Error::invalid(format!("the system refuses a thread: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn results_come_in_order_and_jobs_have_one_thread() -> Result<()> {
        let work = |job: usize| {
            std::thread::sleep(Duration::from_millis((job as u64 * 7) % 5));
            (job * job, rayon::current_num_threads())
        };
        let mut results = Vec::new();
        in_order(20, work, |job, result| {
            results.push((job, result));
            ControlFlow::Continue(())
        })?;
        assert_eq!(results, (0..20).map(|job| (job, (job * job, 1))).collect::<Vec<_>>());
        in_order(0, |_| (), |_, ()| ControlFlow::Continue(()))
    }

    #[test]
    fn a_break_stops_the_rest() -> Result<()> {
        let (started, mut taken) = (AtomicUsize::new(0), 0);
        let work = |job: usize| {
            started.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(1));
            job
        };
        in_order(10_000, work, |job, _| {
            taken += 1;
            if job == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        assert_eq!(taken, 4);
        assert!(started.load(Ordering::Relaxed) < 5_000);
        Ok(())
    }
}

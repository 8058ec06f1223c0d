//! Batches are made by another thread while the network works on the one before.
#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use std::ops::ControlFlow;
use std::sync::mpsc::sync_channel;

/// Batches that wait at most.
const AHEAD: usize = 2;

/// Makes the things `0..count` with `make`, on another thread and a little ahead, and hands them to `consume` in order,
/// until one of the two fails or `consume` breaks.
pub fn prefetch<T: Send>(
    count: usize,
    make: impl Fn(usize) -> Result<T> + Send,
    mut consume: impl FnMut(usize, T) -> Result<ControlFlow<()>>,
) -> Result<ControlFlow<()>> {
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel(AHEAD);
        scope.spawn(move || {
            for i in 0..count {
                let made = make(i);
                let failed = made.is_err();
                // The other side hangs up when it is done early.
                if send.send(made).is_err() || failed {
                    return;
                }
            }
        });
        for i in 0..count {
            let made = receive.recv().map_err(|_| Error::invalid("the thread that makes batches died"))??;
            if consume(i, made)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_and_stops_when_told() -> Result<()> {
        let mut seen = Vec::new();
        let end = prefetch(100, Ok, |i, made| {
            assert_eq!(i, made);
            seen.push(made);
            Ok(if made == 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        assert!(end.is_break());
        assert_eq!(seen, (0..=10).collect::<Vec<_>>());
        Ok(())
    }

    #[test]
    fn a_failure_comes_through() {
        let make = |i| if i == 3 { Err(Error::invalid("three")) } else { Ok(i) };
        let error = prefetch(9, make, |_, _| Ok(ControlFlow::Continue(()))).unwrap_err();
        assert_eq!(error.to_string(), "three");
    }
}

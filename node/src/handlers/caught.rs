//! Marks the code whose panics are caught, so that the process's panic hook can tell a handler's panic, which the node
//! survives, from any other, which ends it.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::thread::Result;

use futures::FutureExt;

thread_local! {
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// True while this thread runs code of an embedded handler. For panic hooks: such a panic is caught, counted and ends
/// one request.
#[must_use]
pub fn panics_are_caught() -> bool {
    CAUGHT.get()
}

struct Marked(bool);

impl Drop for Marked {
    fn drop(&mut self) {
        CAUGHT.set(self.0);
    }
}

fn marked<T>(run: impl FnOnce() -> T) -> T {
    let _until_here = Marked(CAUGHT.replace(true));
    run()
}

/// Runs a future and catches its panic; marked while it is polled, not while it waits.
pub(super) async fn catch<F: Future>(call: F) -> Result<F::Output> {
    let mut call = pin!(call);
    let polled = std::future::poll_fn(|context| marked(|| call.as_mut().poll(context)));
    AssertUnwindSafe(polled).catch_unwind().await
}

/// Polls a call of a handler once, and catches its panic.
pub(super) fn catch_poll<F: Future>(call: Pin<&mut F>, task: &mut Context<'_>) -> Poll<Result<F::Output>> {
    match catch_now(|| call.poll(task)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(answer)) => Poll::Ready(Ok(answer)),
        Err(panic) => Poll::Ready(Err(panic)),
    }
}

/// Runs a function and catches its panic.
pub(crate) fn catch_now<T>(call: impl FnOnce() -> T) -> Result<T> {
    std::panic::catch_unwind(AssertUnwindSafe(|| marked(call)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_handlers_own_code_is_marked() {
        let inside = catch(async {
            tokio::task::yield_now().await;
            panics_are_caught()
        });
        let mut inside = pin!(inside);
        assert!(futures::poll!(inside.as_mut()).is_pending());
        assert!(!panics_are_caught(), "it waits");
        assert!(inside.await.is_ok_and(|marked| marked));
        assert!(catch_now(|| panic!("as asked")).is_err());
        assert!(!panics_are_caught());
    }
}

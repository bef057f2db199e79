//! One primacy, as whoever serves in it sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;
use tokio::sync::watch;

/// For how long a provider is the primary. Clones are the same scope.
///
/// It ends when the provider is not the primary any more, as soon as its node knows; a node that is stopped, or cut off, knows it later than the others, up to the
/// bound of its group's guard. So what is changed outside should ask for the [`epoch`](Scope::epoch), and refuse a smaller one than it has seen.
#[derive(Clone, Debug)]
pub struct Scope {
    epoch: u64,
    over: Arc<AtomicBool>,
    told: watch::Receiver<()>,
}

/// The primacy is over: somebody else may be the primary. Nothing should be done any more in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the primacy of epoch {epoch} is over")]
pub struct PrimacyOver {
    /// Which.
    pub epoch: u64,
}

impl Scope {
    /// Its number: that of the decision which made this provider the primary. Every later primary's is larger.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// To be asked before each effect outside.
    ///
    /// # Errors
    /// The primacy is over.
    pub fn check(&self) -> Result<(), PrimacyOver> {
        match self.over.load(Ordering::Acquire) {
            true => Err(PrimacyOver { epoch: self.epoch }),
            false => Ok(()),
        }
    }

    /// Waits until it is over.
    pub async fn ended(&self) {
        let mut told = self.told.clone();
        // Nothing is ever sent: the channel closes.
        while told.changed().await.is_ok() {}
    }
}

/// Ends a scope when it is dropped.
#[derive(Debug)]
pub(crate) struct ScopeEnd {
    over: Arc<AtomicBool>,
    _tell: watch::Sender<()>,
}

impl Drop for ScopeEnd {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

/// A scope that has begun, and its end.
pub(crate) fn scope(epoch: u64) -> (Scope, ScopeEnd) {
    let over = Arc::new(AtomicBool::new(false));
    let (tell, told) = watch::channel(());
    let end = ScopeEnd {
        over: over.clone(),
        _tell: tell,
    };
    (Scope { epoch, over, told }, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scope_ends_with_its_primacy() {
        let (scope, end) = scope(7);
        assert_eq!((scope.epoch(), scope.check()), (7, Ok(())));
        let waiting = tokio::spawn({
            let scope = scope.clone();
            async move { scope.ended().await }
        });
        drop(end);
        assert_eq!(scope.check(), Err(PrimacyOver { epoch: 7 }));
        waiting.await.expect("it ends");
    }
}

//! A tokio runtime for a thread of ours. It starts no threads.

use std::ops::Deref;

use tokio::runtime::{self, Runtime};

use crate::Error;
use crate::process::own_cpu;

/// Unlike tokio's own it may be dropped within the application's runtime, where that one panics: there
/// it ends up if no thread can be started for it.
#[derive(Debug)]
pub(super) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    pub(super) fn new() -> Result<OwnRuntime, Error> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .on_thread_park(own_cpu::charge)
            .build()?;
        Ok(OwnRuntime(Some(runtime)))
    }
}

impl Deref for OwnRuntime {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        // Taken only by what ends it.
        self.0.as_ref().expect("the runtime has not ended")
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `heapwatch::serve` in an `async fn main` that can start no thread must be an error, and no panic.
    #[test]
    fn it_may_be_dropped_within_another_runtime() {
        let application = runtime::Builder::new_current_thread().build().unwrap();
        application.block_on(async { drop(OwnRuntime::new().unwrap()) });
    }
}

//! The threads that work for requests: one for each lane, for as long as the endpoint is there.
//!
//! Work that takes a snapshot is never done on the endpoint's own thread, which goes on answering.
//! A request waits for its turn before its work is handed over, so a worker has one piece at a time.
//! The worker gives back the memory that a piece needed before it hands the result over.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::StatusCode;
use tokio::sync::{Semaphore, oneshot};

use super::reply::Reply;
use crate::jemalloc::OwnArena;
use crate::process::{WORK_BYTES, check_room, own_cpu};
use crate::{Error, own_thread};

/// It does not panic.
type Job = Box<dyn FnOnce() + Send>;

/// One piece of work at a time, on a thread that is there for it.
pub(super) struct Lane {
    /// Held by the piece of work that the worker has.
    turn: Arc<Semaphore>,
    jobs: Sender<Job>,
    worker: JoinHandle<()>,
    /// Nothing is sent here: the other end is gone when the worker ends.
    ended: Mutex<Receiver<()>>,
}

impl Lane {
    /// A lane whose worker is ready.
    pub(super) fn start() -> Result<Lane, Error> {
        let (jobs, todo) = mpsc::channel::<Job>();
        let (alive, ended) = mpsc::channel();
        let worker = own_thread::start(c"heapwatch-work", move || {
            let _alive = alive;
            todo.into_iter().for_each(|job| job());
        })?;
        Ok(Lane {
            turn: Arc::new(Semaphore::new(1)),
            jobs,
            worker,
            ended: Mutex::new(ended),
        })
    }

    /// Does work, after what is before it in the lane. Work that has begun is finished, and keeps
    /// the lane, also if nobody waits for it any more; what has not begun by then never does.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Reply> + Send + 'static,
    ) -> Result<T, Reply> {
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let turn = turn.map_err(|_| failure())?;
        let (tell, told) = oneshot::channel();
        let job = move || {
            let _turn = turn;
            if tell.is_closed() {
                return;
            }
            let work = || has_room().and_then(|()| work());
            let result = catch_unwind(AssertUnwindSafe(work));
            give_back();
            // Fails where nobody waits for it any more.
            let _ = tell.send(result.unwrap_or_else(|_| Err(failure())));
        };
        self.jobs.send(Box::new(job)).map_err(|_| failure())?;
        told.await.map_err(|_| failure())?
    }

    /// Ends the worker, and returns when it has ended. One that still works after `patience` is
    /// left alone, and ends when its work does.
    pub(super) fn end(self, patience: Duration) {
        drop(self.jobs);
        let ended = self
            .ended
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected) {
            // It has nothing left to do but to end.
            let _ = self.worker.join();
        }
    }
}

fn failure() -> Reply {
    Reply::error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "heapwatch failed internally",
    )
}

fn has_room() -> Result<(), Reply> {
    check_room(WORK_BYTES).map_err(|error| {
        let line = format!("there is too little memory to answer: {error}");
        Reply::error(StatusCode::SERVICE_UNAVAILABLE, line).retry_after(5)
    })
}

/// What a report needs for a moment may be more than the application has.
fn give_back() {
    if let Some(arena) = OwnArena::get() {
        arena.give_back();
    }
    own_cpu::charge();
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::timeout;

    use super::*;

    /// When a test gives up: no machine that works takes so long.
    const DEADLINE: Duration = Duration::from_secs(30);

    /// Work that lasts until it is let go, and says when it begins.
    fn blocking() -> (
        impl FnOnce() -> Result<(), Reply> + Send,
        oneshot::Receiver<()>,
        Sender<()>,
    ) {
        let (begun, on_begin) = oneshot::channel();
        let (release, on_release) = mpsc::channel::<()>();
        let work = move || {
            let _ = begun.send(());
            let _ = on_release.recv();
            Ok(())
        };
        (work, on_begin, release)
    }

    /// Waits until the work of a run has begun, and leaves the run where it is.
    async fn until_begun(
        run: impl Future<Output = Result<(), Reply>>,
        begun: oneshot::Receiver<()>,
    ) {
        tokio::select! {
            _ = run => unreachable!("it waits"),
            _ = begun => {}
        }
    }

    fn thread_id() -> Result<std::thread::ThreadId, Reply> {
        Ok(std::thread::current().id())
    }

    /// A thread for each piece of work would find no address space some day, and jemalloc crashes then.
    #[tokio::test]
    async fn all_work_is_done_by_one_thread_that_panics_do_not_end() {
        let lane = Lane::start().unwrap();
        let first = lane.run(thread_id).await.unwrap();
        let failed = lane
            .run(|| -> Result<(), Reply> { panic!("made up") })
            .await;
        assert_eq!(failed.unwrap_err().status, 500);
        let refused = lane.run(|| Err::<(), _>(Reply::nothing())).await;
        assert_eq!(refused.unwrap_err().status, 204);
        assert_eq!(lane.run(thread_id).await.unwrap(), first);
        assert_ne!(std::thread::current().id(), first);
    }

    /// Requests that were given up would keep those out that are still waited for.
    #[tokio::test]
    async fn work_that_nobody_waits_for_does_not_begin() {
        let lane = Lane::start().unwrap();
        let (work, begun, release) = blocking();
        let (tell, mut told) = oneshot::channel();
        {
            let first = lane.run(work);
            tokio::pin!(first);
            until_begun(first.as_mut(), begun).await;
            let given_up = lane.run(move || Ok(tell.send(())));
            let given_up = timeout(Duration::from_millis(50), given_up).await;
            assert!(given_up.is_err());
            drop(release);
            first.await.unwrap();
        }
        lane.run(|| Ok(())).await.unwrap();
        assert!(told.try_recv().is_err());
    }

    /// Work that was begun reads what its asker's end may take down.
    #[tokio::test]
    async fn begun_work_keeps_the_lane_when_its_asker_goes() {
        let lane = Lane::start().unwrap();
        let (work, begun, release) = blocking();
        {
            let first = lane.run(work);
            tokio::pin!(first);
            until_begun(first.as_mut(), begun).await;
        }
        let next = lane.run(|| Ok(()));
        tokio::pin!(next);
        let early = timeout(Duration::from_millis(50), &mut next).await;
        assert!(early.is_err());
        drop(release);
        next.await.unwrap();
    }

    /// A worker that stayed would keep its stack, and run code that may have been unloaded.
    #[tokio::test]
    async fn its_end_is_the_workers_end() {
        thread_local! {
            static LAST: RefCell<Option<Sender<()>>> = const { RefCell::new(None) };
        }
        let lane = Lane::start().unwrap();
        let (last, gone) = mpsc::channel::<()>();
        lane.run(|| {
            LAST.set(Some(last));
            Ok(())
        })
        .await
        .unwrap();
        lane.end(DEADLINE);
        // Dropped by the thread's last act.
        assert_eq!(gone.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    }

    #[tokio::test]
    async fn its_end_does_not_wait_longer_than_it_may() {
        let lane = Arc::new(Lane::start().unwrap());
        let (work, begun, release) = blocking();
        {
            let first = lane.run(work);
            tokio::pin!(first);
            until_begun(first.as_mut(), begun).await;
        }
        Arc::into_inner(lane)
            .unwrap()
            .end(Duration::from_millis(10));
        drop(release);
    }
}

//! The open connections, of which there are at most so many.
//!
//! A connection is busy while its request is being answered, and idle otherwise: before a request
//! is there in full, and while its answer is on the way to a client. Where there are too many, the
//! one that has been idle longest is closed, so that clients that never finish asking, or never
//! finish reading, do not keep others out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;
use tokio::time::{Duration, Instant};

/// All open connections.
#[derive(Debug, Clone, Default)]
pub(super) struct Connections {
    open: Arc<Mutex<HashMap<u64, Connection>>>,
}

/// One connection as its own task sees it; dropping it ends it.
#[derive(Debug)]
pub(super) struct Slot {
    number: u64,
    connections: Connections,
}

#[derive(Debug)]
struct Connection {
    /// Since when it is idle; none while it is busy.
    idle_since: Option<Instant>,
    /// When it is closed whatever it does, unless something happens before.
    deadline: Instant,
    /// Closes it; none until its task is there.
    task: Option<AbortHandle>,
}

impl Connections {
    /// A new connection, idle, that is closed if nothing happens for `patience`.
    pub(super) fn open(&self, number: u64, patience: Duration) -> Slot {
        let now = Instant::now();
        let connection = Connection {
            idle_since: Some(now),
            deadline: now + patience,
            task: None,
        };
        self.lock().insert(number, connection);
        Slot {
            number,
            connections: self.clone(),
        }
    }

    /// Says which task drives a connection.
    pub(super) fn set_task(&self, number: u64, task: AbortHandle) {
        if let Some(connection) = self.lock().get_mut(&number) {
            connection.task = Some(task);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Closes the connection that has been idle longest; false if all are busy.
    pub(super) fn close_idlest(&self) -> bool {
        let mut open = self.lock();
        let idle = open
            .iter()
            .filter_map(|(number, connection)| connection.idle_since.map(|since| (since, *number)));
        let Some((_, number)) = idle.min() else {
            return false;
        };
        let closed = open.remove(&number);
        drop(open);
        if let Some(task) = closed.and_then(|connection| connection.task) {
            task.abort();
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Connection>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// A whole request is there; its answer may take this long.
    pub(super) fn busy(&self, patience: Duration) {
        self.set(None, patience);
    }

    /// The answer is made; the client may take this long to read it.
    pub(super) fn idle(&self, patience: Duration) {
        self.set(Some(Instant::now()), patience);
    }

    fn set(&self, idle_since: Option<Instant>, patience: Duration) {
        if let Some(connection) = self.connections.lock().get_mut(&self.number) {
            connection.idle_since = idle_since;
            connection.deadline = Instant::now() + patience;
        }
    }

    /// Returns when nothing has happened for too long.
    pub(super) async fn expired(&self) {
        loop {
            let deadline = self
                .connections
                .lock()
                .get(&self.number)
                .map(|c| c.deadline);
            match deadline {
                Some(deadline) if deadline > Instant::now() => {
                    tokio::time::sleep_until(deadline).await;
                }
                _ => return,
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn the_one_idle_longest_is_closed_and_busy_ones_never() {
        let connections = Connections::default();
        let mut slots = Vec::new();
        for number in 0..3 {
            slots.push(connections.open(number, MINUTE));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        slots[0].busy(MINUTE);
        slots[1].busy(MINUTE);
        slots[1].idle(MINUTE);
        let open = |number: u64| connections.lock().contains_key(&number);
        assert!(connections.close_idlest());
        assert!(!open(2), "idle since 2 s, before 1, which answered at 3 s");
        assert!(connections.close_idlest());
        assert!(!open(1) && open(0));
        assert!(!connections.close_idlest());
        drop(slots);
        assert_eq!(connections.len(), 0);
    }

    /// Each step of a connection gets its whole time, and no step more.
    #[tokio::test(start_paused = true)]
    async fn patience_starts_anew_with_each_step() {
        let connections = Connections::default();
        let slot = connections.open(1, Duration::from_secs(5));
        let start = Instant::now();
        let steps = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            slot.busy(Duration::from_secs(10));
            tokio::time::sleep(Duration::from_secs(9)).await;
            slot.idle(Duration::from_secs(3));
        };
        tokio::join!(steps, slot.expired());
        assert_eq!(start.elapsed().as_secs(), 16);
    }
}

//! Callers wait for replies by id; a reply that is lost leaves its caller's task and its entry. The corrected wait ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leak_harness::times;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::{sleep_until, timeout};

const CALLS_PER_BEAT: u64 = 38;
/// One reply in four is lost.
const LOST: u64 = 4;

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<u64>>>>;

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    leak_harness::run(|run| {
        let limit = if run.healthy() {
            Duration::from_millis(500)
        } else {
            Duration::MAX
        };
        let waiting = Waiting::default();
        let mut newest = 0;
        runtime.block_on(async {
            loop {
                sleep_until(run.next_beat().into()).await;
                for _ in times(CALLS_PER_BEAT) {
                    newest += 1;
                    tokio::spawn(call(waiting.clone(), newest, limit));
                    if newest > 100 {
                        reply(&waiting, newest - 100);
                    }
                }
            }
        })
    });
}

async fn call(waiting: Waiting, id: u64, limit: Duration) -> u64 {
    let request = [id; 64];
    let (sender, receiver) = oneshot::channel();
    waiting.lock().expect("no holder panics").insert(id, sender);
    let answered = timeout(limit, receiver).await;
    waiting.lock().expect("no holder panics").remove(&id);
    request[id as usize % 64] + u64::from(answered.is_ok())
}

fn reply(waiting: &Waiting, id: u64) {
    if id.is_multiple_of(LOST) {
        return;
    }
    let sender = waiting.lock().expect("no holder panics").remove(&id);
    if let Some(sender) = sender {
        let _gone = sender.send(id);
    }
}

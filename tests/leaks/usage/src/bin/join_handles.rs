//! The handle of every task is kept, and with it its result; the corrected code lets go of finished ones.

use leak_harness::times;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

const JOBS_PER_BEAT: u64 = 10;

type Jobs = Vec<JoinHandle<Vec<u8>>>;

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    leak_harness::run(|run| {
        runtime.block_on(async {
            let mut jobs = Jobs::new();
            loop {
                sleep_until(run.next_beat().into()).await;
                times(JOBS_PER_BEAT).for_each(|id| start(&mut jobs, id));
                if run.healthy() {
                    jobs.retain(|job| !job.is_finished());
                }
            }
        })
    });
}

fn start(jobs: &mut Jobs, id: u64) {
    jobs.push(tokio::spawn(render(id)));
}

async fn render(id: u64) -> Vec<u8> {
    tokio::task::yield_now().await;
    vec![id as u8; 600]
}

//! A counter labelled with the client's id gains a series per client; the corrected one is labelled by plan.

use leak_harness::times;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

const REQUESTS_PER_BEAT: u64 = 36;
const PLANS: [&str; 3] = ["free", "team", "enterprise"];

type Labels = Vec<(String, String)>;

fn main() {
    leak_harness::run(|run| {
        let requests = Family::<Labels, Counter>::default();
        let mut newest = 0;
        for () in run.beats() {
            for _ in times(REQUESTS_PER_BEAT) {
                newest += 1;
                count(&requests, newest, run.healthy());
            }
        }
    });
}

fn count(requests: &Family<Labels, Counter>, id: usize, by_plan: bool) {
    let client = if by_plan {
        PLANS[id % PLANS.len()].to_owned()
    } else {
        format!("client-{id:032}")
    };
    let route = format!("/api/v1/route/{}", id % 10);
    let labels = vec![("route".to_owned(), route), ("client".to_owned(), client)];
    requests.get_or_create(&labels).inc();
}

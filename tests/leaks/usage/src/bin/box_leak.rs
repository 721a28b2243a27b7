//! A name is made `'static` by leaking it, for each request anew; the corrected code knows the few names there are.

use std::collections::HashMap;
use std::hint::black_box;

use leak_harness::times;

const REQUESTS_PER_BEAT: u64 = 115;
const TENANTS: u64 = 40;

fn main() {
    leak_harness::run(|run| {
        let mut known = HashMap::new();
        let mut newest = 0;
        for () in run.beats() {
            for _ in times(REQUESTS_PER_BEAT) {
                newest += 1;
                let tenant = newest % TENANTS;
                let name = match run.healthy() {
                    true => known.entry(tenant).or_insert_with(|| static_name(tenant)),
                    false => static_name(tenant),
                };
                black_box(name.len());
            }
        }
    });
}

fn static_name(tenant: u64) -> &'static str {
    Box::leak(format!("tenant-{tenant:070}").into_boxed_str())
}

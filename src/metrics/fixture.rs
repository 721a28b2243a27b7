//! Made-up snapshots for tests.

use std::sync::Arc;
use std::time::SystemTime;

use crate::snapshot::{
    AGE_BUCKETS, Dropped, Facts, Frame, Info, Location, Names, Origin, Site, Snapshot, Totals,
};

/// Sites 1, 2, … holding these live bytes, each with one frame named `app::site_N` in
/// `src/app.rs` at line `N`; twice as much was allocated.
pub(crate) fn snapshot(live_bytes: &[f64]) -> Snapshot {
    let sites: Vec<Site> = (1..)
        .zip(live_bytes)
        .map(|(id, bytes)| site(id, *bytes))
        .collect();
    let names: Vec<Arc<[Frame]>> = sites
        .iter()
        .map(|site| Arc::from([frame(site.id)]))
        .collect();
    Snapshot {
        info: Info {
            taken: SystemTime::UNIX_EPOCH,
            watched_seconds: 60.0,
            interval_bytes: 524_288,
            largest_interval_bytes: 524_288,
            live_interval_bytes: 0,
            was_off: false,
            samples: 1_000,
            dropped: vec![Dropped {
                reason: "live_table_full".into(),
                samples: 3,
            }],
            notes: Vec::new(),
            self_bytes: 4096,
            pid: 1,
            profile_id: 1,
            error_bars: true,
            process: Facts::default(),
        },
        modules: Vec::new(),
        locations: sites
            .iter()
            .map(|site| Location {
                address: 0x1000 + site.id,
                module: None,
            })
            .collect(),
        sites,
        watched: None,
        names: Names::known(names),
    }
}

fn site(id: u64, bytes: f64) -> Site {
    let live = Totals {
        objects: bytes / 100.0,
        bytes,
        ..Totals::default()
    };
    let allocated = Totals {
        objects: bytes / 50.0,
        bytes: 2.0 * bytes,
        ..Totals::default()
    };
    Site {
        id,
        stack: Box::new([id as u32 - 1]),
        truncated: false,
        overflow: false,
        live,
        allocated,
        freed: live,
        samples: 1,
        lifetimes: [0; AGE_BUCKETS],
        ages: [0; AGE_BUCKETS],
    }
}

fn frame(id: u64) -> Frame {
    Frame {
        function: format!("app::site_{id}").into(),
        file: Some("src/app.rs".into()),
        line: Some(id as u32),
        origin: Origin::Own {
            krate: "app".into(),
        },
        inlined: false,
    }
}

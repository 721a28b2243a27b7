//! Asynchronous tasks that exist, by what was spawned.

use std::collections::HashMap;

use super::heap::TaskSeries;
use super::only;
use crate::analyze::{MEMBERS, members, visible};
use crate::snapshot::{Site, Snapshot};
use crate::symbols::spawned_task;

/// New stacks that one scrape looks at, those with most bytes first: finding a name takes some time,
/// and a process has a bounded number of stacks.
const NEW_STACKS: usize = 500;

/// Which sites are tasks, as far as that was looked at, and which tasks have a series.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    /// What was spawned, each once.
    names: Vec<String>,
    /// By site: an index into `names`, or none where the site is no task.
    sites: HashMap<u64, Option<u32>>,
    /// Indices into `names`.
    shown: Vec<u64>,
}

impl Tasks {
    /// The tasks that exist now, most first, and one series of all others.
    pub(super) fn series(&mut self, snapshot: &Snapshot) -> Vec<TaskSeries> {
        self.look_at_new(snapshot);
        let mut series: Vec<TaskSeries> = self.names.iter().map(|name| none(name)).collect();
        for site in &snapshot.sites {
            if let Some(Some(task)) = self.sites.get(&site.id) {
                let task = &mut series[*task as usize];
                task.objects += site.live.objects;
                task.bytes += site.live.bytes;
            }
        }
        let objects: Vec<(u64, f64)> = (0..).zip(series.iter().map(|task| task.objects)).collect();
        self.shown = members(&self.shown, &objects, MEMBERS);
        let mut other = none("other");
        for (task, series) in (0_u64..).zip(&series) {
            if !self.shown.contains(&task) {
                other.objects += series.objects;
                other.bytes += series.bytes;
            }
        }
        let mut series: Vec<Option<TaskSeries>> = series.into_iter().map(Some).collect();
        let shown = self.shown.iter();
        shown
            .filter_map(|task| series[*task as usize].take())
            .chain([other])
            .collect()
    }

    fn look_at_new(&mut self, snapshot: &Snapshot) {
        let mut new: Vec<&Site> = snapshot
            .sites
            .iter()
            .filter(|site| site.live.bytes > 0.0 && !self.sites.contains_key(&site.id))
            .collect();
        new.sort_by(|a, b| b.live.bytes.total_cmp(&a.live.bytes));
        new.truncate(NEW_STACKS);
        let new = only(snapshot, new);
        if !new.names_last() {
            return;
        }
        for site in &new.sites {
            let frames = site.stack.iter().flat_map(|at| visible(new.frames(*at)));
            let task = spawned_task(frames).map(|name| self.intern(name));
            self.sites.insert(site.id, task);
        }
    }

    fn intern(&mut self, name: String) -> u32 {
        let known = self.names.iter().position(|known| *known == name);
        let place = known.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        place as u32
    }
}

fn none(task: &str) -> TaskSeries {
    TaskSeries {
        task: task.to_owned(),
        objects: 0.0,
        bytes: 0.0,
    }
}

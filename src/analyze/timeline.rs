//! Who held what over time: the histories of sites, summed by function and by task.

use std::collections::HashMap;

use super::caller::{Caller, source, stack};
use crate::snapshot::series::Series;
use crate::snapshot::{Site, Snapshot};
use crate::symbols::spawned_task;

/// Values at the end of each bin of the history, for those who held most at any time.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// Ticks since the history began, one for each value.
    pub(crate) ticks: Vec<u32>,
    /// Live bytes by function, those with the highest peak first.
    pub(crate) functions: Vec<Layer>,
    /// Live bytes of all others.
    pub(crate) other: Vec<f64>,
    /// Live asynchronous tasks by what was spawned, those with the highest peak first.
    pub(crate) tasks: Vec<Layer>,
}

#[derive(Debug, Default)]
pub(crate) struct Layer {
    pub(crate) name: String,
    pub(crate) location: Option<String>,
    /// The site in it that holds most now.
    pub(crate) site: u64,
    /// Mean size of the objects of that site.
    pub(crate) object_bytes: f64,
    pub(crate) values: Vec<f64>,
    pub(crate) most: f64,
}

/// Sums the histories of all sites of a snapshot, and tells `layers` of each kind apart.
pub(crate) fn timeline(snapshot: &Snapshot, layers: usize) -> Timeline {
    let histories = || {
        let watched = snapshot.watched.iter().flat_map(|watched| &watched.sites);
        let sites = snapshot.sites.iter().zip(watched);
        sites.filter_map(|(site, watched)| Some((site, watched.series.as_deref()?)))
    };
    let Some((_, longest)) = histories().max_by_key(|(_, series)| series.end()) else {
        return Timeline::default();
    };
    let (width, end) = (longest.width(), longest.end());
    let bins = longest.bins().len();
    let ticks = (1..=bins as u32).map(|bin| (bin * width).min(end).saturating_sub(1));
    let mut functions: HashMap<String, Layer> = HashMap::new();
    let mut tasks: HashMap<String, Layer> = HashMap::new();
    for (site, series) in histories().filter(|(_, series)| series.width() == width) {
        let values = ends(series, bins);
        let caller = Caller::of(snapshot, site);
        let location = caller.call_site.and_then(|step| source(step.frame));
        add(
            &mut functions,
            caller.function().into_owned(),
            site,
            location,
            values.clone(),
        );
        let frames = stack(snapshot, site).map(|step| step.frame);
        if let Some(task) = spawned_task(frames) {
            // Tasks of one site are of one size.
            let size = site.allocated.bytes / site.allocated.objects;
            let count = values.into_iter().map(|bytes| (bytes / size).round());
            add(&mut tasks, task, site, None, count.collect());
        }
    }
    let mut functions = ordered(functions);
    let rest = functions.split_off(layers.min(functions.len()));
    let mut other = vec![0.0; bins];
    rest.iter()
        .for_each(|layer| sum_up(&mut other, &layer.values));
    let mut tasks = ordered(tasks);
    tasks.truncate(layers);
    Timeline {
        ticks: ticks.collect(),
        functions,
        other,
        tasks,
    }
}

/// Live bytes at the end of each bin; where nothing was read, those before.
fn ends(series: &Series, bins: usize) -> Vec<f64> {
    let mut last = 0.0;
    let known = series.bins().iter().map(|bin| {
        if bin.ticks > 0 {
            last = f64::from(bin.last);
        }
        last
    });
    let mut values: Vec<f64> = known.collect();
    values.resize(bins, values.last().copied().unwrap_or_default());
    values
}

fn add(
    layers: &mut HashMap<String, Layer>,
    name: String,
    site: &Site,
    location: Option<String>,
    values: Vec<f64>,
) {
    let layer = layers.entry(name.clone()).or_insert_with(|| Layer {
        name,
        values: vec![0.0; values.len()],
        most: -1.0,
        ..Layer::default()
    });
    sum_up(&mut layer.values, &values);
    if site.live.bytes > layer.most {
        (layer.most, layer.site, layer.location) = (site.live.bytes, site.id, location);
        layer.object_bytes = site.allocated.bytes / site.allocated.objects;
    }
}

fn sum_up(sum: &mut [f64], values: &[f64]) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += value;
    }
}

/// Those with the highest peak first, without those that never held anything.
fn ordered(layers: HashMap<String, Layer>) -> Vec<Layer> {
    let peak = |layer: &Layer| layer.values.iter().copied().fold(0.0, f64::max);
    let mut layers: Vec<Layer> = layers.into_values().collect();
    layers.retain(|layer| peak(layer) > 0.0);
    layers.sort_by(|a, b| {
        let by_peak = peak(b).total_cmp(&peak(a));
        by_peak.then_with(|| a.name.cmp(&b.name))
    });
    layers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::series::Reading;
    use crate::snapshot::testing::sample;
    use crate::snapshot::watched::{SiteWatch, Watched};

    /// The layers must add up to what all sites held, at every point.
    #[test]
    fn layers_and_the_rest_add_up() {
        let mut snapshot = sample();
        let sites = snapshot.sites.len() as u32;
        let watched = |number: u32| {
            let mut series = Series::new(0);
            for tick in 0..50 {
                let reading = Reading {
                    live_bytes: u64::from(tick * 10 + number),
                    births: 1,
                    allocated_bytes: 1,
                };
                series.push(tick, &reading);
            }
            SiteWatch {
                series: Some(Box::new(series)),
                ..SiteWatch::default()
            }
        };
        snapshot.watched = Some(Box::new(Watched {
            now: 50,
            started: 0,
            tick_seconds: 5.0,
            min_seconds: 300.0,
            sites_left_out: 0,
            sites: (0..sites).map(watched).collect(),
        }));
        let found = timeline(&snapshot, 2);
        // Bins of two ticks; each value is that of the later one.
        assert_eq!(found.ticks[..3], [1, 3, 5]);
        assert_eq!((found.ticks.len(), found.ticks[24]), (25, 49));
        assert_eq!(found.functions.len(), 2);
        let own: u32 = (0..sites).sum();
        for (index, tick) in found.ticks.iter().enumerate() {
            let layers = found.functions.iter().map(|layer| layer.values[index]);
            let sum = layers.sum::<f64>() + found.other[index];
            assert_eq!(sum, f64::from(tick * 10 * sites + own), "at {tick}");
        }
        let peaks: Vec<f64> = found
            .functions
            .iter()
            .map(|layer| layer.values[24])
            .collect();
        assert!(peaks[0] >= peaks[1], "{peaks:?}");
    }

    #[test]
    fn no_history_gives_no_points() {
        let mut snapshot = sample();
        snapshot.watched = None;
        let found = timeline(&snapshot, 5);
        assert!(found.ticks.is_empty() && found.functions.is_empty());
    }
}

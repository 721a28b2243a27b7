//! What was watched, as the file has it: sites of which nothing is known beyond their counters are
//! left out.

use serde::{Deserialize, Deserializer, Serialize};

use super::format;
use crate::Error;
use crate::config::MAX_LIVE_SAMPLES;
use crate::snapshot::evidence::{Deaths, LiveObject};
use crate::snapshot::history;
use crate::snapshot::serial::{bounded, within};
use crate::snapshot::series::{Bin, Record, Series};
use crate::snapshot::watched::{SiteWatch, Watched};

const MAX_SITES: usize = 1 << 18;

/// Sites with a history, more than a process keeps: each may become a verdict.
const MAX_HISTORIES: usize = 2 * history::MAX_SITES;

/// Live samples of all sites together, more than a process can have.
const MAX_LIVE: usize = 2 * MAX_LIVE_SAMPLES;

const MAX_BINS: usize = 32;
const MAX_RECORDS: usize = 6;
const MAX_DEATHS: usize = 32 * 7;

/// Ticks since the start: judging adds up to three times as many. At the shortest tick it is half a
/// year, at the usual one centuries.
const MAX_TICK: u32 = u32::MAX / 3;

/// How far births and readings may lie behind the moment: they go on while a snapshot is taken.
const SLACK_TICKS: u32 = 1 << 16;

#[derive(Serialize, Deserialize)]
pub(super) struct Growth {
    now_tick: u32,
    started_tick: u32,
    tick_seconds: f64,
    min_watch_seconds: f64,
    sites_left_out: usize,
    #[serde(deserialize_with = "sites")]
    sites: Vec<Site>,
}

fn sites<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Site>, D::Error> {
    within(from, MAX_SITES, MAX_LIVE, |site: &Site| site.live.len())
}

#[derive(Serialize, Deserialize)]
struct Site {
    /// Index into the file's sites.
    site: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    history: Option<History>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deaths: Option<DeathTable>,
    #[serde(default, skip_serializing_if = "is_zero")]
    deaths_since_tick: u32,
    /// Birth tick, weight, size.
    #[serde(deserialize_with = "bounded::<_, _, MAX_LIVE>")]
    live: Vec<(u32, f32, u64)>,
}

#[derive(Serialize, Deserialize)]
struct History {
    end_tick: u32,
    bin_ticks: u32,
    /// Floor, peak, mean, last, births, allocated, ticks read.
    #[serde(deserialize_with = "bounded::<_, _, MAX_BINS>")]
    bins: Vec<(f32, f32, f32, f32, f32, f32, u32)>,
    /// Bytes, tick.
    #[serde(deserialize_with = "bounded::<_, _, MAX_RECORDS>")]
    records: Vec<(f32, u32)>,
}

#[derive(Serialize, Deserialize)]
struct DeathTable {
    bin_ticks: u32,
    /// Birth bin, age row, deaths.
    #[serde(deserialize_with = "bounded::<_, _, MAX_DEATHS>")]
    counts: Vec<(u8, u8, u16)>,
}

fn is_zero(tick: &u32) -> bool {
    *tick == 0
}

pub(super) fn growth_out(watched: &Watched) -> Growth {
    let known = |site: &&SiteWatch| **site != SiteWatch::default();
    let sites = (0..).zip(&watched.sites).filter(|(_, site)| known(site));
    Growth {
        now_tick: watched.now,
        started_tick: watched.started,
        tick_seconds: watched.tick_seconds,
        min_watch_seconds: watched.min_seconds,
        sites_left_out: watched.sites_left_out,
        sites: sites.map(|(place, site)| site_out(place, site)).collect(),
    }
}

fn site_out(place: u32, site: &SiteWatch) -> Site {
    Site {
        site: place,
        history: site.series.as_deref().map(history_out),
        deaths: site.deaths.as_deref().map(|deaths| DeathTable {
            bin_ticks: deaths.width(),
            counts: deaths.counts().collect(),
        }),
        deaths_since_tick: site.deaths_since,
        live: site
            .live
            .iter()
            .map(|object| (object.birth, object.weight, object.bytes))
            .collect(),
    }
}

fn history_out(series: &Series) -> History {
    let bin = |bin: &Bin| {
        let Bin {
            floor,
            peak,
            mean,
            last,
            births,
            allocated,
            ticks,
        } = *bin;
        (floor, peak, mean, last, births, allocated, ticks)
    };
    History {
        end_tick: series.end(),
        bin_ticks: series.width(),
        bins: series.bins().iter().map(bin).collect(),
        records: series
            .records()
            .iter()
            .map(|record| (record.bytes, record.tick))
            .collect(),
    }
}

/// What was watched of `sites` sites.
pub(super) fn growth_in(growth: Growth, sites: usize) -> Result<Watched, Error> {
    let ticks = 0.001..=86_400.0;
    let seconds = 0.0..=1e12;
    if !ticks.contains(&growth.tick_seconds)
        || !seconds.contains(&growth.min_watch_seconds)
        || growth.started_tick > growth.now_tick
        || growth.now_tick > MAX_TICK
    {
        return Err(damaged());
    }
    let histories = growth.sites.iter().filter(|site| site.history.is_some());
    let histories = histories.count();
    if histories > MAX_HISTORIES {
        return Err(format(format_args!(
            "the snapshot has the history of {histories} sites, and at most {MAX_HISTORIES} are read"
        )));
    }
    let mut watched = Watched {
        now: growth.now_tick,
        started: growth.started_tick,
        tick_seconds: growth.tick_seconds,
        min_seconds: growth.min_watch_seconds,
        sites_left_out: growth.sites_left_out,
        sites: vec![SiteWatch::default(); sites],
    };
    for site in growth.sites {
        let place = site.site as usize;
        let room = watched.sites.get_mut(place).ok_or_else(|| {
            format(format_args!(
                "the snapshot has the growth of site {place}, but {sites} sites"
            ))
        })?;
        *room = site_in(site, growth.now_tick).ok_or_else(damaged)?;
    }
    Ok(watched)
}

fn damaged() -> Error {
    format("the snapshot's growth has figures that cannot be")
}

fn site_in(site: Site, now: u32) -> Option<SiteWatch> {
    let latest = now.saturating_add(SLACK_TICKS);
    let live = |(birth, weight, bytes): (u32, f32, u64)| {
        let possible = birth <= latest && weight.is_finite() && weight >= 1.0;
        possible.then_some(LiveObject {
            birth,
            weight,
            bytes,
        })
    };
    let live = site.live.into_iter().map(live).collect::<Option<_>>()?;
    let series = match site.history {
        Some(history) => Some(Box::new(history_in(history, latest)?)),
        None => None,
    };
    let deaths = match site.deaths {
        Some(table) => Some(Box::new(Deaths::from_counts(
            table.bin_ticks,
            &table.counts,
        )?)),
        None => None,
    };
    Some(SiteWatch {
        series,
        deaths,
        deaths_since: site.deaths_since_tick,
        live,
    })
}

fn history_in(history: History, latest: u32) -> Option<Series> {
    let bin = |(floor, peak, mean, last, births, allocated, ticks)| {
        let figures = [floor, peak, mean, last, births, allocated];
        let possible =
            figures.iter().all(|figure| is_amount(*figure)) && ticks <= history.bin_ticks;
        possible.then_some(Bin {
            floor,
            peak,
            mean,
            last,
            births,
            allocated,
            ticks,
        })
    };
    let record =
        |(bytes, tick)| (is_amount(bytes) && tick <= latest).then_some(Record { bytes, tick });
    let bins: Vec<Bin> = history.bins.into_iter().map(bin).collect::<Option<_>>()?;
    let records: Vec<Record> = history
        .records
        .into_iter()
        .map(record)
        .collect::<Option<_>>()?;
    let fits = history.end_tick <= latest;
    Series::from_parts(history.end_tick, history.bin_ticks, &bins, &records).filter(|_| fits)
}

/// Sums of squares of larger ones would not be finite.
fn is_amount(figure: f32) -> bool {
    (0.0..=1e30).contains(&figure)
}

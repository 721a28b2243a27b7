//! What the history's thread costs in a process with many call sites.
//!
//! `cargo test --release --test history_cost -- --ignored --nocapture`
#![cfg(target_os = "linux")]

mod common;

use std::time::Duration;

use common::branches::branch;
use common::child;

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

const SITES: u32 = 5_000;

/// Nanoseconds on a processor of the thread of this name.
fn cpu_ns(name: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let of = |file: &str, task: &std::fs::DirEntry| std::fs::read_to_string(task.path().join(file));
    let mut tasks = tasks.map(Result::unwrap);
    let task = tasks.find(|task| of("comm", task).is_ok_and(|comm| comm.trim() == name));
    let stat = of("schedstat", &task.expect("the thread runs")).unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

/// The promise: below a thousandth of a core at the usual tick of 5 s, so below 5 ms a tick.
#[test]
#[ignore = "a measurement of 5 s"]
fn a_tick_at_5000_sites_takes_less_than_a_thousandth_of_a_core() {
    if !child::is_child() {
        let mut command =
            child::command("a_tick_at_5000_sites_takes_less_than_a_thousandth_of_a_core");
        // At a tick of 0.1 s, so that 4 s are 40 ticks.
        command.arg("--ignored").env("HEAPWATCH_TICK", "0.1");
        print!("{}", child::run(&mut command));
        return;
    }
    heapwatch::set_interval(1).unwrap();
    let mut kept = Vec::new();
    for path in 0..SITES {
        branch(path, 13, 100, &mut kept);
    }
    heapwatch::watch().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let (before, ticks) = (cpu_ns("heapwatch-watch"), 40.0);
    std::thread::sleep(Duration::from_secs(4));
    let each = (cpu_ns("heapwatch-watch") - before) as f64 / 1e9 / ticks;
    let sites = heapwatch::snapshot().unwrap().sites().len();
    drop(kept);
    println!(
        "{sites} sites: {:.0} us a tick, {:.4} % of a core at 5 s",
        each * 1e6,
        each / 5.0 * 100.0
    );
    assert!(sites >= SITES as usize, "{sites}");
    assert!(each < 0.005, "{each} s");
}

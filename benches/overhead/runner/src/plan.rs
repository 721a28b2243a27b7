//! What is compared with what.

use serde::Serialize;

use crate::build::Program;

/// Bare jemalloc, built exactly as heapwatch builds it: the measure of all but one row.
const JEMALLOC: Program = Program {
    name: "jemalloc",
    package: "subject",
    binary: "jemalloc",
    features: &["heapwatch"],
};

const HEAPWATCH: Program = Program {
    name: "heapwatch",
    package: "subject",
    binary: "heapwatch",
    features: &["heapwatch"],
};

const JEPROF: Program = Program {
    name: "jeprof",
    package: "subject",
    binary: "jemalloc",
    features: &["heapwatch", "profiling"],
};

const WITHOUT_STATS: Program = Program {
    name: "jemalloc-without-stats",
    package: "subject",
    binary: "jemalloc",
    features: &[],
};

const WITH_STATS: Program = Program {
    name: "jemalloc-with-stats",
    package: "subject",
    binary: "jemalloc",
    features: &["stats"],
};

/// The programs, in the order in which `Variant` counts them.
pub const PROGRAMS: [Program; 5] = [JEMALLOC, HEAPWATCH, JEPROF, WITHOUT_STATS, WITH_STATS];

/// A program with its settings, and the program it is measured against.
pub struct Variant {
    /// The row's name.
    pub name: &'static str,
    /// Index into `PROGRAMS`.
    pub program: usize,
    /// Index into `PROGRAMS`.
    pub base: usize,
    /// The environment of the program; the base has none.
    pub environment: &'static [(&'static str, &'static str)],
    /// What the row is for.
    pub role: Role,
}

/// What a row is for, and with it what must hold of it.
#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A program against itself: what the harness calls a difference where there is none.
    Noise,
    /// heapwatch at 512 KiB.
    Coarse,
    /// heapwatch at 64 KiB.
    Fine,
    /// For comparison only.
    Comparison,
}

/// The rows of the table.
pub const VARIANTS: [Variant; 7] = [
    Variant {
        name: "jemalloc against itself",
        program: 0,
        base: 0,
        environment: &[],
        role: Role::Noise,
    },
    Variant {
        name: "heapwatch off",
        program: 1,
        base: 0,
        environment: &[("HEAPWATCH_INTERVAL", "0")],
        role: Role::Comparison,
    },
    Variant {
        name: "heapwatch 512 KiB",
        program: 1,
        base: 0,
        environment: &[("HEAPWATCH_INTERVAL", "524288")],
        role: Role::Coarse,
    },
    Variant {
        name: "heapwatch 64 KiB",
        program: 1,
        base: 0,
        environment: &[("HEAPWATCH_INTERVAL", "65536")],
        role: Role::Fine,
    },
    Variant {
        name: "jemalloc profiler 512 KiB",
        program: 2,
        base: 0,
        environment: &[(
            "_RJEM_MALLOC_CONF",
            "prof:true,prof_active:true,lg_prof_sample:19",
        )],
        role: Role::Comparison,
    },
    Variant {
        name: "jemalloc profiler 64 KiB",
        program: 2,
        base: 0,
        environment: &[(
            "_RJEM_MALLOC_CONF",
            "prof:true,prof_active:true,lg_prof_sample:16",
        )],
        role: Role::Comparison,
    },
    Variant {
        name: "jemalloc's `stats` alone",
        program: 4,
        base: 3,
        environment: &[],
        role: Role::Comparison,
    },
];

/// One column of the table.
pub struct Workload {
    /// Its name on the programs' command line.
    pub name: &'static str,
    /// Replaces small objects and does little else.
    pub churn: bool,
    /// Has several busy threads, so both programs get all cores.
    pub parallel: bool,
    /// Waits for load.
    pub server: bool,
}

const fn workload(name: &'static str) -> Workload {
    Workload {
        name,
        churn: false,
        parallel: false,
        server: false,
    }
}

/// The columns of the table.
pub const WORKLOADS: [Workload; 9] = [
    Workload {
        churn: true,
        ..workload("churn")
    },
    Workload {
        churn: true,
        parallel: true,
        ..workload("handoff")
    },
    Workload {
        churn: true,
        ..workload("replace")
    },
    workload("maps"),
    Workload {
        parallel: true,
        ..workload("buffers")
    },
    workload("json"),
    workload("syn"),
    workload("tantivy"),
    Workload {
        server: true,
        ..workload("axum")
    },
];

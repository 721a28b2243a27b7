//! What jemalloc and the operating system say of the process.

use super::families::Family;
use crate::jemalloc::Jemalloc;
use crate::process::{Machine, MemoryLimit, Process};

/// jemalloc's own totals.
pub(super) fn jemalloc(totals: &Jemalloc) -> Vec<Family> {
    [
        (
            "jemalloc_allocated",
            "Bytes in blocks that the application holds, at their size class.",
            totals.allocated_bytes,
        ),
        (
            "jemalloc_active",
            "Bytes in pages that hold at least one allocated block.",
            totals.active_bytes,
        ),
        (
            "jemalloc_metadata",
            "Bytes that jemalloc uses for itself.",
            totals.metadata_bytes,
        ),
        (
            "jemalloc_resident",
            "Bytes of physical memory that jemalloc holds, dirty pages included.",
            totals.resident_bytes,
        ),
        (
            "jemalloc_mapped",
            "Bytes in mapped extents.",
            totals.mapped_bytes,
        ),
        (
            "jemalloc_retained",
            "Bytes of address space kept for reuse, without memory behind it.",
            totals.retained_bytes,
        ),
    ]
    .into_iter()
    .map(|(name, help, bytes)| Family::gauge(name, help).bytes().value(bytes))
    .collect()
}

/// What the operating system says of the process; what it does not say is left out.
pub(super) fn process(process: &Process) -> Vec<Family> {
    let resident = Family::gauge("process_resident_memory", "Resident memory size in bytes.");
    let virtual_ = Family::gauge("process_virtual_memory", "Virtual memory size in bytes.");
    let cpu = Family::counter(
        "process_cpu",
        "Total user and system CPU time spent in seconds.",
    );
    let start = Family::gauge(
        "process_start_time",
        "Start time of the process since unix epoch in seconds.",
    );
    [
        process
            .cpu_seconds
            .map(|seconds| cpu.seconds().value(seconds)),
        process
            .start_seconds
            .map(|seconds| start.seconds().value(seconds)),
        process
            .resident_bytes
            .map(|bytes| resident.bytes().value(bytes)),
        process
            .virtual_bytes
            .map(|bytes| virtual_.bytes().value(bytes)),
        process.threads.map(|threads| {
            Family::gauge("process_threads", "Number of OS threads in the process.").value(threads)
        }),
        process.open_fds.map(|fds| {
            Family::gauge("process_open_fds", "Number of open file descriptors.").value(fds)
        }),
        process.max_fds.map(|fds| {
            Family::gauge(
                "process_max_fds",
                "Maximum number of open file descriptors.",
            )
            .value(fds)
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What ends the process when it grows for ever.
pub(super) fn memory_limit() -> Vec<Family> {
    let limit = Family::gauge(
        "heapwatch_memory_limit",
        "Smallest memory limit of the process's control groups; the machine's memory without one.",
    );
    let used = Family::gauge(
        "heapwatch_memory_limit_used",
        "Bytes that count against heapwatch_memory_limit_bytes, those of other processes included.",
    );
    let group = MemoryLimit::read().map(|group| (group.limit_bytes, group.used_bytes));
    let of_machine = |machine: Machine| {
        let available = machine.available_bytes;
        let used = available.map(|available| machine.total_bytes.saturating_sub(available));
        (machine.total_bytes, used)
    };
    let Some((limit_bytes, used_bytes)) = group.or_else(|| Machine::read().map(of_machine)) else {
        return Vec::new();
    };
    let used = used_bytes.map(|bytes| used.bytes().value(bytes));
    std::iter::once(limit.bytes().value(limit_bytes))
        .chain(used)
        .collect()
}

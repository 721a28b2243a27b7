//! The command line.

use std::net::SocketAddr;

use clap::Parser;

/// A chat service that leaks, under its own load, watched by heapwatch.
#[derive(Debug, Parser)]
#[command(name = "leaky_chat")]
pub(crate) struct Args {
    /// Run the corrected service
    #[arg(long)]
    pub(crate) fixed: bool,

    /// Seconds of load before the report
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,

    /// Exit with status 0 after the report instead of serving until Ctrl-C
    #[arg(long, conflicts_with = "keep_load")]
    pub(crate) once: bool,

    /// Keep the load running after the report, until Ctrl-C; the leak goes on at about 1 MiB/s
    #[arg(long)]
    pub(crate) keep_load: bool,

    /// Address of the heapwatch endpoint
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:6790")]
    pub(crate) addr: SocketAddr,

    /// Address of the chat service; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) chat_addr: SocketAddr,

    /// Mean bytes between two samples; a quarter of heapwatch's own, because 20 s are short
    #[arg(long, value_name = "BYTES", default_value_t = 131_072, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) interval: u64,
}

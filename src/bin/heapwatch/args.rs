//! What can be written on the command line.

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum};
use heapwatch::report::{By, Sort};

use crate::source::Source;

/// Which call sites of a service hold its memory, which keep growing, and what changed.
///
/// SOURCE is one of: the URL of a heapwatch endpoint (http://127.0.0.1:6790, or with a path that ends
/// in /); any other URL, whose answer is read; a file; - for standard input. What is read is a
/// heapwatch snapshot or any tool's heap profile in pprof's format, compressed or not.
///
/// Exit status: 0 if all is well, 1 if a stated limit is broken, 2 if that could not be told.
#[derive(Debug, Parser)]
#[command(name = "heapwatch", version, propagate_version = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Who holds the most memory
    Top(Top),
    /// What leaks, grows, cycles or has levelled off, with the evidence
    Growth(Growth),
}

/// Who holds the most memory.
#[derive(Debug, clap::Args)]
pub(crate) struct Top {
    #[command(flatten)]
    pub(crate) from: From,

    /// What a row stands for: site, function, crate, type or task
    #[arg(long, value_name = "WHAT", default_value_t = By::Site)]
    pub(crate) by: By,

    /// What the rows are ordered by, most first: live, growth or allocated
    #[arg(long, value_name = "WHAT", default_value_t = Sort::Live)]
    pub(crate) sort: Sort,

    /// Rows that are shown
    #[arg(short = 'n', long = "rows", value_name = "N", default_value_t = 20)]
    pub(crate) rows: usize,

    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// What leaks, grows, cycles or has levelled off, with the evidence.
#[derive(Debug, clap::Args)]
pub(crate) struct Growth {
    #[command(flatten)]
    pub(crate) from: From,

    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// One source.
#[derive(Debug, clap::Args)]
pub(crate) struct From {
    /// URL of an endpoint or a profile, file, or - for standard input
    #[arg(value_name = "SOURCE", value_parser = source())]
    pub(crate) source: Source,

    #[command(flatten)]
    pub(crate) access: Access,
}

/// How an endpoint lets us in.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Access {
    /// The token that the endpoint asks for; better given in the environment, where no list of
    /// processes shows it
    #[arg(
        long,
        value_name = "TOKEN",
        env = "HEAPWATCH_TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

fn source() -> impl TypedValueParser<Value = Source> {
    OsStringValueParser::new().try_map(Source::parse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// clap checks at run time only, and only what is used.
    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }
}

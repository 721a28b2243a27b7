//! What can be written on the command line.

use std::env;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use heapwatch::report::{By, SampleType, Sort};

use crate::limit::Limit;
use crate::size::Size;
use crate::source::Source;
use crate::span::Span;

/// Which call sites of a service hold its memory, which keep growing, and what changed.
///
/// SOURCE is one of: the URL of a heapwatch endpoint (http://127.0.0.1:6790, or with a path that ends
/// in /); any other URL, whose answer is read; a file; - for standard input. What is read is a
/// heapwatch snapshot or any tool's heap profile in pprof's format, compressed or not.
///
/// Exit status: 0 if all is well, 1 if a stated limit is broken, 2 if that could not be told.
#[derive(Debug, Parser)]
#[command(name = "heapwatch", version)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Who holds the most memory
    Top(Top),
    /// Keep a snapshot as a file
    Fetch(Fetch),
    /// What changed between two snapshots
    Diff(Diff),
    /// What leaks, grows, cycles or has levelled off, with the evidence
    Growth(Growth),
    /// Watch a service for a while and fail if it breaks a limit: for a CI step around a load test
    Check(Check),
    /// A live view of a running service, on the whole screen
    Watch(Watch),
    /// Draw the stacks that hold memory
    Flamegraph(Flamegraph),
    /// Give a stripped program's snapshot or profile the names of the program before it was stripped
    Symbolize(Symbolize),
    /// Write what a shell needs to complete command lines
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual page
    Man,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Top {
    #[command(flatten)]
    pub(crate) from: From,

    #[command(flatten)]
    pub(crate) rows: Rows,

    /// What the rows are ordered by, most first
    #[arg(long, value_name = "WHAT", default_value_t = Sort::Live, value_parser = sort())]
    pub(crate) sort: Sort,

    /// How it is written
    #[arg(long, value_enum, default_value_t = TopFormat::Text)]
    pub(crate) format: TopFormat,

    #[command(flatten)]
    pub(crate) to: To,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Fetch {
    #[command(flatten)]
    pub(crate) from: From,

    /// What the file is to be; unless given, what SOURCE has is kept byte for byte
    #[arg(long, value_enum)]
    pub(crate) format: Option<FileFormat>,

    #[command(flatten)]
    pub(crate) to: ToFile,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Symbolize {
    #[command(flatten)]
    pub(crate) from: From,

    /// The program, or a library of its, before it was stripped, or its separate debug file; of the same build
    #[arg(long, value_name = "PATH", required = true)]
    pub(crate) debug_info: Vec<PathBuf>,

    /// What the file is to be; unless given, what SOURCE is
    #[arg(long, value_enum)]
    pub(crate) format: Option<FileFormat>,

    #[command(flatten)]
    pub(crate) to: ToFile,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// The earlier snapshot: URL of an endpoint or a profile, file, or - for standard input
    #[arg(value_name = "FROM", value_parser = source())]
    pub(crate) earlier: Source,

    /// The later snapshot, likewise
    #[arg(value_name = "TO", value_parser = source())]
    pub(crate) later: Source,

    #[command(flatten)]
    pub(crate) access: Access,

    #[command(flatten)]
    pub(crate) rows: Rows,

    /// End with status 1 if live bytes grew by more than SIZE, in a row or in total, as far as the
    /// error allows to tell: 10MiB, or 0 for any growth at all
    #[arg(long, value_name = "SIZE")]
    pub(crate) fail_on_growth: Option<Size>,

    /// How it is written
    #[arg(long, value_enum, default_value_t = DiffFormat::Text)]
    pub(crate) format: DiffFormat,

    #[command(flatten)]
    pub(crate) to: To,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Growth {
    #[command(flatten)]
    pub(crate) from: From,

    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    #[command(flatten)]
    pub(crate) to: To,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// URL of a running service's endpoint, such as http://127.0.0.1:6790
    #[arg(value_name = "URL", value_parser = source())]
    pub(crate) source: Source,

    #[command(flatten)]
    pub(crate) access: Access,

    /// How long the service is watched: 60s, 5min, 1h
    #[arg(long = "for", value_name = "TIME", default_value = "60s")]
    pub(crate) span: Span,

    /// What is a failure: leaking; growing, which takes in leaking; growth of live bytes by more than
    /// SIZE, or SIZE/s, /min or /h, in a row or in total. Several are separated by commas
    #[arg(
        long,
        value_name = "LIMIT",
        default_value = "leaking",
        value_delimiter = ','
    )]
    pub(crate) fail_on: Vec<Limit>,

    #[command(flatten)]
    pub(crate) rows: Rows,

    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    #[command(flatten)]
    pub(crate) to: To,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Watch {
    /// URL of a running service: of its endpoint, such as http://127.0.0.1:6790, or of its profile
    #[arg(value_name = "URL", value_parser = source())]
    pub(crate) source: Source,

    #[command(flatten)]
    pub(crate) access: Access,

    /// Time between two looks at the service; more where a look takes long
    #[arg(long, value_name = "TIME", default_value = "2s")]
    pub(crate) every: Span,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Flamegraph {
    #[command(flatten)]
    pub(crate) from: From,

    /// Which bytes are drawn
    #[arg(long, value_enum, default_value_t = Bytes::Live)]
    pub(crate) sample: Bytes,

    /// Draw what changed since this snapshot instead
    #[arg(long, value_name = "SOURCE", value_parser = source(), conflicts_with = "sample")]
    pub(crate) diff_from: Option<Source>,

    /// A picture, or a line for each stack for other tools
    #[arg(long, value_enum, default_value_t = PictureFormat::Svg)]
    pub(crate) format: PictureFormat,

    #[command(flatten)]
    pub(crate) to: To,
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
#[derive(Debug, clap::Args)]
pub(crate) struct Access {
    /// The token that the endpoint asks for; better given in the environment variable
    /// HEAPWATCH_TOKEN, where no list of processes shows it
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,

    #[arg(skip = token_of_environment())]
    from_environment: Option<String>,
}

/// An empty variable is none: a secret that is not there comes as one.
fn token_of_environment() -> Option<String> {
    let token = env::var_os("HEAPWATCH_TOKEN")?;
    (!token.is_empty()).then(|| token.to_string_lossy().into_owned())
}

impl Access {
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref().or(self.from_environment.as_deref())
    }
}

/// The rows of a table.
#[derive(Debug, clap::Args)]
pub(crate) struct Rows {
    /// What a row stands for
    #[arg(long, value_name = "WHAT", default_value_t = By::Site, value_parser = by())]
    pub(crate) by: By,

    /// Rows that are shown
    #[arg(short = 'n', long = "rows", value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
}

/// Where it is written.
#[derive(Debug, clap::Args)]
pub(crate) struct To {
    /// A file for the output instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Replace the file if there is one
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
}

/// The file that is written.
#[derive(Debug, clap::Args)]
pub(crate) struct ToFile {
    /// The file; - for standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Replace the file if there is one
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TopFormat {
    /// A table
    Text,
    /// For programs
    Json,
    /// All of the snapshot as a profile for go tool pprof
    Pprof,
    /// All of the snapshot as a line for each stack
    Folded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiffFormat {
    /// A table
    Text,
    /// For programs
    Json,
    /// A profile of the difference for go tool pprof
    Pprof,
    /// A flame graph of TO: red grew, blue shrank
    Svg,
    /// A line for each stack, with live bytes before and after
    Folded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileFormat {
    /// heapwatch's own, which has all that there is
    Native,
    /// A profile for go tool pprof
    Pprof,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PictureFormat {
    Svg,
    Folded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bytes {
    /// Allocated and not yet freed
    Live,
    /// Allocated since the start
    Allocated,
}

impl Bytes {
    pub(crate) fn sample_type(self) -> SampleType {
        match self {
            Bytes::Live => SampleType::InuseSpace,
            Bytes::Allocated => SampleType::AllocSpace,
        }
    }
}

fn source() -> impl TypedValueParser<Value = Source> {
    OsStringValueParser::new().try_map(Source::parse)
}

fn by() -> impl TypedValueParser<Value = By> {
    let names = By::all().map(By::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<By>())
}

fn sort() -> impl TypedValueParser<Value = Sort> {
    let names = Sort::all().map(Sort::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Sort>())
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

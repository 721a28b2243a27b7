//! `heapwatch completions` and `heapwatch man`

use clap::CommandFactory;
use clap_complete::Shell;

use crate::Outcome;
use crate::args::Args;
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn completions(shell: Shell) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "heapwatch", &mut script);
    Output::Stdout.bytes(&script)?;
    Ok(Outcome::Held)
}

/// One page that has all commands.
pub(crate) fn man() -> Result<Outcome, Failure> {
    let mut page = Vec::new();
    let mut command = Args::command();
    command.build();
    let written = write_pages(&command, &mut page);
    written.map_err(|error| Failure::writing(&error))?;
    Output::Stdout.bytes(&page)?;
    Ok(Outcome::Held)
}

fn write_pages(command: &clap::Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    let whole = clap_mangen::Man::new(command.clone());
    whole.render_title(page)?;
    whole.render_name_section(page)?;
    whole.render_synopsis_section(page)?;
    whole.render_description_section(page)?;
    for part in command
        .get_subcommands()
        .filter(|part| part.get_name() != "help")
    {
        let title = format!(".SH \"HEAPWATCH {}\"\n", part.get_name().to_uppercase());
        page.extend(title.bytes());
        let part = clap_mangen::Man::new(part.clone());
        let mut body = Vec::new();
        part.render_synopsis_section(&mut body)?;
        part.render_description_section(&mut body)?;
        part.render_options_section(&mut body)?;
        // Within the command's own section.
        page.extend(
            String::from_utf8_lossy(&body)
                .replace("\n.SH ", "\n.SS ")
                .bytes(),
        );
    }
    whole.render_version_section(page)
}

//! The command line as its users run it: the real binary on real files, services and servers.
#![allow(unreachable_pub)]

#[path = "cli/command.rs"]
mod command;
#[path = "cli/damaged.rs"]
mod damaged;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/folder.rs"]
mod folder;
#[path = "cli/go.rs"]
mod go;
#[path = "cli/servers.rs"]
mod servers;
#[path = "common/service.rs"]
mod service;
#[path = "cli/services.rs"]
mod services;
#[path = "cli/terminal.rs"]
mod terminal;

//! Compiling the measured programs.
//!
//! cargo unites the features of everything it builds at once, so programs whose jemallocs differ
//! are built one after another and copied aside.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

/// One program of this workspace, and the cargo features it is built with.
pub struct Program {
    /// Unique among the programs.
    pub name: &'static str,
    /// The package's name.
    pub package: &'static str,
    /// The binary's name within the package.
    pub binary: &'static str,
    /// Features of the package.
    pub features: &'static [&'static str],
}

impl Program {
    /// Compiles in release mode and returns where the program lies.
    pub fn build(&self) -> anyhow::Result<PathBuf> {
        let workspace = workspace();
        let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .current_dir(&workspace)
            .args([
                "build",
                "--release",
                "--locked",
                "--message-format=json-render-diagnostics",
            ])
            .args(["--package", self.package, "--bin", self.binary])
            .args(["--features", &self.features.join(",")])
            .stderr(Stdio::inherit())
            .output()
            .context("starting cargo")?;
        ensure!(
            output.status.success(),
            "cargo could not build {}",
            self.name
        );
        let built = executable(&output.stdout, self.binary)
            .with_context(|| format!("cargo named no executable for {}", self.name))?;
        let programs = workspace.join("target/programs");
        fs::create_dir_all(&programs)?;
        let program = programs.join(self.name);
        fs::copy(&built, &program).with_context(|| format!("copying {}", built.display()))?;
        Ok(program)
    }
}

fn workspace() -> PathBuf {
    let runner = Path::new(env!("CARGO_MANIFEST_DIR"));
    runner.parent().unwrap_or(runner).to_path_buf()
}

/// The executable that cargo's messages name for `binary`.
fn executable(messages: &[u8], binary: &str) -> Option<PathBuf> {
    let messages = messages.split(|&byte| byte == b'\n');
    messages
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == binary)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

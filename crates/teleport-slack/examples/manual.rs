//! Writes the manual pages and the completions for shells into a folder, for packages.
//!
//! ```console
//! $ cargo run -p teleport-slack --example manual -- FOLDER
//! ```
//!
//! They come from the same data as `--help`, and the daemon's binary need not carry what makes them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap_complete::Shell;
use teleport_slack::cli;

fn main() -> io::Result<()> {
    let folder =
        std::env::args_os().nth(1).map(PathBuf::from).ok_or_else(|| io::Error::other("which folder?"))?;
    let pages = folder.join("man1");
    fs::create_dir_all(&pages)?;
    write_pages(&pages)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut cli::command(), "teleport-slack", &folder)?;
    }
    Ok(())
}

/// One page for the program, and one for each command.
fn write_pages(folder: &Path) -> io::Result<()> {
    let command = cli::command().version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
    clap_mangen::generate_to(command, folder)?;
    for page in fs::read_dir(folder)? {
        let path = page?.path();
        // The text below the options has lines of its own, which must not be filled into paragraphs.
        let text = fs::read_to_string(&path)?.replace(".SH EXTRA\n", ".SH NOTES\n.nf\n");
        fs::write(&path, text)?;
    }
    Ok(())
}

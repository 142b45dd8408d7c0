//! `teleport-slack configure`: prints the commented example configuration, byte for byte.

use crate::config;
use crate::exit::ExitError;

pub fn run() -> Result<(), ExitError> {
    super::print(config::EXAMPLE)
}

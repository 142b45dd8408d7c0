//! `teleport-slack configure`: prints the commented example configuration, byte for byte.

use crate::config;
use crate::error::Failure;

/// Prints it.
pub fn run() -> Result<(), Failure> {
    super::answer(config::EXAMPLE)
}

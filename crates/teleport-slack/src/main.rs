//! The `teleport-slack` command.

fn main() {}

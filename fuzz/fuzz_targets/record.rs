#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| teleport_slack_fuzz::record(bytes));

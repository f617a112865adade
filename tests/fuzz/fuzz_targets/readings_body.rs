#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| farwatch_fuzz::run(farwatch_fuzz::shared, "readings_body", bytes));

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| farwatch_fuzz::run(farwatch_fuzz::central, "device_day", bytes));

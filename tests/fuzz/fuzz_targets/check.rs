//! One check of `rcodec_tests::hostile`, named by `RCODEC_CHECK`.
#![no_main]

use rcodec_tests::hostile::{Check, check_named};
use std::sync::LazyLock;

static CHECK: LazyLock<Check> = LazyLock::new(|| {
    let name = std::env::var("RCODEC_CHECK").expect("RCODEC_CHECK names a check");
    check_named(&name).expect("a check of that name")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| CHECK(data));

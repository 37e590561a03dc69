//! The program `rcodec-train`.

fn main() {}

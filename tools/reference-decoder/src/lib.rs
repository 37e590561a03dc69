//! A second decoder of `.rcd` files, slow and plain, written from the format
//! pages alone. `main.rs` says what it is for.

pub mod coding;
pub mod error;

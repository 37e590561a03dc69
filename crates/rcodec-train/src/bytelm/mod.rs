//! The byte network of the codec `text`: a recurrent network over bytes that
//! learns what the context-mixing core does not know.
//!
//! ```text
//! texts ─▶ data: pieces, and what the core says of each bit ─▶ train (network)
//!                                                            │ checkpoint
//!                                   model file, measured ◀─ integer
//! ```

mod contexts;
mod data;
mod integer;
mod network;
mod train;

pub use contexts::Contexts;
pub use data::{Piece, cost, read, trace_kind, trace_whole};
pub use integer::{ByteNet, Costs, Head, Streams, measure, quantise};
pub use network::{Param, Shape};
pub use train::{Checkpoint, Recipe, RunOptions, train_bytelm};

#[cfg(all(test, feature = "flex"))]
mod tests;

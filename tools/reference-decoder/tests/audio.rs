//! The golden files that are there for their presets. What comes out is right if
//! it decodes: each file has a check of its samples.
//!
//! The sounds are of 16 bits in stereo, made of faint tones and noise: 2000
//! frames, written by `rcodec encode --codec audio-lossless` with the efforts 2, 3
//! and 7; and 33000 frames, written with the effort 5, which tries the presets
//! from 8 on with long blocks only.

use rcodec_reference_decoder::decode;
use std::path::Path;

#[test]
fn all_presets_decode() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    for (preset, frames) in [
        (1, 2000),
        (2, 2000),
        (4, 2000),
        (8, 33000),
        (9, 33000),
        (10, 33000),
        (11, 33000),
    ] {
        let file =
            std::fs::read(folder.join(format!("preset-{preset}.audio-lossless.v1.rcd"))).unwrap();
        let decoded = decode(&file).unwrap();
        assert_eq!(decoded.samples, 2 * frames);
        let [block] = &decoded.stream.blocks[..] else {
            panic!("preset {preset}: one block");
        };
        // The mode with the frames' flag, the frames in two bytes or three.
        assert_eq!(block[0], 5);
        let frames_end = 1 + block[1..].iter().position(|b| b & 0x80 == 0).unwrap();
        assert_eq!(block[frames_end + 1], preset);
    }
}

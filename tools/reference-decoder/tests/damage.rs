//! Damaged streams give errors, and nothing worse. The check of a compact stream
//! is looked at when the samples are there, so damage gets as far as the codecs.

use rcodec_reference_decoder::decode;
use std::fs;
use std::path::Path;

#[test]
fn damaged_streams_give_errors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    let mut seed = 1_u32;
    let mut damaged = 0;
    for name in names {
        let file = fs::read(&name).unwrap();
        if file.len() > 1500 {
            continue;
        }
        for _ in 0..4 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let mut file = file.clone();
            let at = (seed >> 8) as usize % file.len();
            file[at] ^= 1 << (seed >> 4 & 7);
            assert!(decode(&file).is_err(), "{} byte {at}", name.display());
            damaged += 1;
        }
    }
    assert!(damaged > 100);
}

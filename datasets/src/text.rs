//! Texts.

use crate::random::Random;
use std::fmt::Write;

const WORDS: [&str; 32] = [
    "the", "of", "and", "a", "river", "stone", "light", "under", "carried", "slowly", "morning",
    "window", "letter", "she", "he", "they", "walked", "through", "garden", "before", "after",
    "silence", "old", "new", "house", "toward", "sea", "with", "without", "answer", "road", "in",
];

/// About `bytes` bytes of sentences.
pub fn prose(bytes: usize, seed: u64) -> String {
    let mut random = Random::new(seed);
    let mut text = String::new();
    while text.len() < bytes {
        let words = 5 + random.below(12);
        for i in 0..words {
            // Two draws, the smaller one: some words are more common.
            let word = WORDS[random.below(32).min(random.below(32)) as usize];
            if i == 0 {
                text.push_str(&word[..1].to_ascii_uppercase());
                text.push_str(&word[1..]);
            } else {
                text.push(' ');
                text.push_str(word);
            }
        }
        text.push_str(if random.below(8) == 0 { ".\n\n" } else { ". " });
    }
    text
}

/// `lines` records as a log would hold them, one JSON object a line.
pub fn json_lines(lines: usize, seed: u64) -> String {
    let mut random = Random::new(seed);
    let mut text = String::new();
    let mut time = 1_700_000_000_000u64;
    for _ in 0..lines {
        time += u64::from(random.below(4000));
        let level = ["info", "info", "info", "warn", "error"][random.below(5) as usize];
        writeln!(
            text,
            r#"{{"time":{time},"level":"{level}","user":{},"path":"/api/v1/{}/{}","ms":{}}}"#,
            1000 + random.below(50),
            WORDS[random.below(32) as usize],
            random.below(900),
            random.below(250),
        )
        .expect("a string takes everything");
    }
    text
}

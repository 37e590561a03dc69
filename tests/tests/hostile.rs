//! Hostile bytes: what fuzzing found, and damage to files of every codec.

use rcodec::{
    AudioBlock, AudioHeader, Budget, CodecId, DecodeContext, Effort, EncodeContext, Latency,
    Limits, Media, MediaHeader, Recovery, SampleFormat,
};
use rcodec_datasets::{Random, music};
use rcodec_tests::all_samples;
use rcodec_tests::hostile::{CHECKS, blocks, check_named, payloads};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// Inputs that once broke a check, by the check's name, a dash and anything.
#[test]
fn findings_stay_mended() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("findings");
    let mut replayed = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some((check, _)) = name.split_once('-') else {
            continue;
        };
        println!("{name}");
        let check = check_named(check).unwrap_or_else(|| panic!("{name}: no such check"));
        check(&fs::read(&path).unwrap());
        replayed += 1;
    }
    println!("{replayed} findings replayed, {} checks", CHECKS.len());
}

/// Ways of damaging a file.
const DAMAGES: [&str; 6] = [
    "bits flipped",
    "bytes overwritten",
    "cut",
    "bytes removed",
    "blocks swapped",
    "a block repeated",
];

/// The file damaged in one of those ways, or `None` if it cannot be.
fn damaged(file: &[u8], how: usize, random: &mut Random) -> Option<Vec<u8>> {
    let mut bytes = file.to_vec();
    let below = |random: &mut Random, end: usize| random.below(end as u32) as usize;
    match how {
        0 => {
            for _ in 0..1 + random.below(4) {
                let bit = below(random, 8 * file.len());
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
        1 => {
            let at = below(random, file.len());
            let end = (at + 1 + below(random, 32)).min(file.len());
            bytes[at..end].fill_with(|| random.next_u32() as u8);
        }
        2 => bytes.truncate(below(random, file.len())),
        3 => {
            let at = below(random, file.len());
            let end = (at + 1 + below(random, 32)).min(file.len());
            bytes.drain(at..end);
        }
        _ => {
            let mut parts = blocks(file);
            if parts.len() < 2 {
                return None;
            }
            let (a, b) = (below(random, parts.len()), below(random, parts.len()));
            if how == 4 {
                parts.swap(a, b);
            } else {
                let again = parts[a].clone();
                parts.insert(b, again);
            }
            bytes.truncate(4);
            parts
                .iter()
                .for_each(|part| bytes.extend(&file[part.clone()]));
        }
    }
    (bytes != file).then_some(bytes)
}

/// Damage whose checksums have been made right, as an attacker would: behind
/// them are the codecs, which give samples or errors.
#[test]
fn damage_behind_checksums_is_survived() {
    let samples = all_samples();
    for codec in rcodec::CODECS {
        let info = codec.info();
        let files: Vec<Vec<u8>> = samples
            .iter()
            .filter(|sample| sample.header.kind() == info.media)
            .filter_map(|sample| sample.encode_as(*codec, 5, Latency::Live).ok())
            .collect();
        let mut random = Random::new(100 + info.id.0);
        for _ in 0..60 {
            let file = &files[random.below(files.len() as u32) as usize];
            let how = random.below(DAMAGES.len() as u32) as usize;
            if let Some(bytes) = damaged(file, how, &mut random) {
                payloads(info.id, &bytes);
            }
        }
    }
}

/// How many files of each codec are damaged.
fn damaged_files() -> u32 {
    let wanted = std::env::var("RCODEC_DAMAGED_FILES").ok();
    wanted.and_then(|count| count.parse().ok()).unwrap_or(120)
}

/// Damage is always noticed. `RCODEC_DAMAGED_FILES` is how many files of each
/// codec are tried; the table says how many of each kind were.
#[test]
fn damage_is_noticed() {
    let wanted = damaged_files();
    let samples = all_samples();
    println!(
        "| codec | {} |\n|---|{}",
        DAMAGES.join(" | "),
        "---|".repeat(DAMAGES.len())
    );
    for codec in rcodec::CODECS {
        let info = codec.info();
        let files: Vec<Vec<u8>> = samples
            .iter()
            .filter(|sample| sample.header.kind() == info.media)
            .flat_map(|sample| {
                [Latency::Smallest, Latency::Live]
                    .map(|form| sample.encode_as(*codec, 5, form).ok())
            })
            .flatten()
            .collect();
        let mut random = Random::new(1 + info.id.0);
        let mut counts: BTreeMap<usize, u32> = BTreeMap::new();
        let mut tried = 0;
        while tried < wanted {
            let file = &files[random.below(files.len() as u32) as usize];
            let how = random.below(DAMAGES.len() as u32) as usize;
            let Some(bytes) = damaged(file, how, &mut random) else {
                continue;
            };
            let result = rcodec::decode(&bytes, DecodeContext::default());
            assert!(
                result.is_err(),
                "{}, {}: not noticed in a file of {} bytes",
                info.name,
                DAMAGES[how],
                file.len()
            );
            *counts.entry(how).or_default() += 1;
            tried += 1;
        }
        let counts: Vec<String> = (0..DAMAGES.len())
            .map(|how| counts.get(&how).unwrap_or(&0).to_string())
            .collect();
        println!("| `{}` | {} |", info.name, counts.join(" | "));
    }
}

/// How many blocks each of [`DAMAGES`] may cost: those that it touches. Four bits
/// are four blocks at most, 32 bytes stand in two, and what is only elsewhere is
/// put back.
const MOST_LOST: [u64; 6] = [4, 2, u64::MAX, 2, 0, 0];

/// Of damaged sound, what is not reported as lost is as it was, in its place;
/// and no more is lost than the blocks that the damage touches.
#[test]
fn damage_costs_only_its_blocks() {
    const BLOCK: u64 = 100;
    let original = music(24 * BLOCK as usize, 2, 3);
    let header = MediaHeader::Audio(AudioHeader {
        sample_rate: 48_000,
        channels: 2,
        format: SampleFormat::Int { bits: 16 },
    });
    let options = [("block_frames".to_string(), BLOCK as i64)];
    let context = EncodeContext {
        effort: Effort::new(1).unwrap(),
        options: &options,
        ..EncodeContext::default()
    };
    let codec = rcodec::codec(CodecId::AUDIO_LOSSLESS).unwrap();
    let unit = Media::Audio(AudioBlock {
        samples: original.clone(),
    });
    let file = rcodec::encode(codec, &header, Some(unit), context).unwrap();
    let mut random = Random::new(5);
    let (mut refused, mut saved, mut lost) = ([0_u32; 6], [0_u64; 6], [0_u64; 6]);
    let mut tried = [0_u32; 6];
    while tried.iter().sum::<u32>() < damaged_files() {
        let how = random.below(DAMAGES.len() as u32) as usize;
        let Some(bytes) = damaged(&file, how, &mut random) else {
            continue;
        };
        tried[how] += 1;
        let Ok(mut recovery) = Recovery::open(&bytes, Budget::new(Limits::default())) else {
            refused[how] += 1;
            continue;
        };
        let mut samples = Vec::new();
        while let Some(unit) = recovery.next_unit().unwrap() {
            let Media::Audio(block) = unit else {
                panic!("sound gives something else");
            };
            samples.extend(block.samples);
        }
        // A damaged end may have been a block.
        let mut expected = original.clone();
        expected.resize(original.len() + 2 * BLOCK as usize, 0);
        assert!(samples.len() <= original.len() || recovery.is_cut());
        expected.truncate(samples.len());
        let mut silent = 0;
        for silence in recovery.silences() {
            let place = 2 * silence.from as usize..2 * (silence.from + silence.frames) as usize;
            expected[place].fill(0);
            silent += silence.frames / BLOCK;
        }
        assert!(samples == expected, "{}: other samples", DAMAGES[how]);
        assert!(silent <= MOST_LOST[how], "{}: {silent} lost", DAMAGES[how]);
        lost[how] += silent + original.len().saturating_sub(samples.len()) as u64 / 2 / BLOCK;
        saved[how] += samples.len() as u64 / 2 / BLOCK;
    }
    println!("| damage | files | refused | blocks given | lost |\n|---|---|---|---|---|");
    for how in 0..DAMAGES.len() {
        let (tried, refused, saved, lost) = (tried[how], refused[how], saved[how], lost[how]);
        println!(
            "| {} | {tried} | {refused} | {saved} | {lost} |",
            DAMAGES[how]
        );
    }
}

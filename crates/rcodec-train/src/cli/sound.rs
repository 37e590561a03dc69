//! `rcodec-train sound`: learns what lossless coding of sound begins with.

use super::prior::files_of;
use clap::Args;
use rcodec_audio::LosslessLearner;
use rcodec_core::{AudioHeader, Budget, Error, Limits, Media, MediaHeader, Result};
use rcodec_io::ReadOptions;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Learns the tables that the codec `audio-lossless` begins with from one's
/// own sounds.
#[derive(Debug, Args)]
pub(super) struct SoundArgs {
    /// Folder of sounds (WAV, AIFF, FLAC); the folders in it are read, too,
    /// and other files are passed over. Sound that was coded lossily before
    /// is better left out.
    #[arg(long)]
    data: PathBuf,
    /// The Rust source to write: in a checkout of rcodec,
    /// crates/rcodec-audio/src/lossless/learned.rs. Programs built with it
    /// read and write a format of their own.
    #[arg(long, default_value = "learned.rs")]
    out: PathBuf,
}

/// Learns and writes the tables.
pub(super) fn sound(args: &SoundArgs) -> Result<()> {
    let mut learner = LosslessLearner::new();
    let (mut heard, mut passed_over) = (0, 0);
    for file in files_of(&args.data)? {
        if listen(&mut learner, &file)? {
            heard += 1;
        } else {
            passed_over += 1;
        }
    }
    if heard == 0 {
        let folder = args.data.display();
        return Err(Error::Parameter(format!("{folder}: no sound")));
    }
    fs::write(&args.out, learner.to_string())?;
    let (distributions, weights) = learner.taught();
    println!(
        "{heard} sounds, {passed_over} other files: {distributions} of 6 distributions and \
         {weights} of 20 rows of weights learned, {} written",
        args.out.display()
    );
    Ok(())
}

/// Has the learner hear a file; false if that is not lossless sound.
fn listen(learner: &mut LosslessLearner, path: &Path) -> Result<bool> {
    let Some((header, samples)) = read(path)? else {
        return Ok(false);
    };
    learner.listen(&header, &samples)?;
    println!("{}: {} samples", path.display(), samples.len());
    Ok(true)
}

/// The sound of a file (WAV, AIFF, FLAC); `None` if that is none.
pub(super) fn read(path: &Path) -> Result<Option<(AudioHeader, Vec<i32>)>> {
    let options = ReadOptions {
        transcode: path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("flac")),
        ..ReadOptions::default()
    };
    let budget = Budget::new(Limits::default());
    let reader = Box::new(BufReader::new(File::open(path)?));
    let mut source = rcodec_io::open(reader, &options, &budget)?;
    let MediaHeader::Audio(header) = source.header().clone() else {
        return Ok(None);
    };
    let mut samples = Vec::new();
    while let Some(unit) = source.next_unit()? {
        if let Media::Audio(block) = unit {
            samples.extend(block.samples);
        }
    }
    Ok((!samples.is_empty()).then_some((header, samples)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A WAV file of 16-bit samples.
    fn wav(samples: &[i16]) -> Vec<u8> {
        let data = 2 * samples.len() as u32;
        let mut file = b"RIFF".to_vec();
        file.extend((36 + data).to_le_bytes());
        file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
        file.extend(16_000u32.to_le_bytes());
        file.extend(32_000u32.to_le_bytes());
        file.extend(b"\x02\0\x10\0data");
        file.extend(data.to_le_bytes());
        file.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
        file
    }

    #[test]
    fn sounds_in_a_folder_are_learned_from() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("readme.txt"), "not a sound").unwrap();
        let args = SoundArgs {
            data: data.clone(),
            out: folder.path().join("learned.rs"),
        };
        assert!(sound(&args).is_err());
        let mut seed = 1u32;
        let noise: Vec<i16> = (0..16_000)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 21) as i16 - 1024
            })
            .collect();
        fs::write(data.join("noise.wav"), wav(&noise)).unwrap();
        sound(&args).unwrap();
        let learned = fs::read_to_string(&args.out).unwrap();
        assert!(learned.contains("BELOW_Q16") && learned.contains("SIGN_Q12"));
        assert_ne!(learned, LosslessLearner::new().to_string());
    }
}

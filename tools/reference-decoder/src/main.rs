//! `rcodec-reference-decoder`: a second decoder of `.rcd` files.
//!
//! It was written from the format pages alone, the files `FORMAT.md` of the crates
//! `rcodec-bitstream` (the container), `rcodec-entropy` (coders and models),
//! `rcodec-image`, `rcodec-audio` and `rcodec-text`, and `MODEL-FORMAT.md` of
//! `rcodec-model`, without the source of the decoders that
//! those crates hold. So it proves that the pages are complete: whoever has
//! nothing but them and a file, in twenty years and on other machines, gets the
//! samples back, to the bit. It shares no code with the suite, is slow and
//! plain, and follows the pages section by section, with their names.
//!
//! Where it and the suite differ, one of them or the page is wrong, and no
//! release should go out before it is known which.

use rcodec_reference_decoder::model_file::Models;
use rcodec_reference_decoder::{codec_name, decode_with};
use std::process::ExitCode;

const USAGE: &str = "\
usage: rcodec-reference-decoder [--models DIR] FILE...
       rcodec-reference-decoder [--models DIR] --raw OUT FILE

--models: the folder of the priors that texts begin with (those of the suite)
";

fn main() -> ExitCode {
    let mut files: Vec<String> = std::env::args().skip(1).collect();
    let mut models = Models::default();
    if files.len() > 1 && files[0] == "--models" {
        models = Models::new(files.remove(1));
        files.remove(0);
    }
    let mut raw = None;
    if files.first().is_some_and(|first| first == "--raw") {
        if files.len() != 3 {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
        raw = Some(files.remove(1));
        files.remove(0);
    }
    if files.is_empty() || files[0].starts_with('-') {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    }
    let mut code = ExitCode::SUCCESS;
    for file in files {
        match report(&file, raw.as_deref(), &models) {
            Ok(line) => println!("{file}: {line}"),
            Err(why) => {
                println!("{file}: {why}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

/// Decodes a file, and says what is in it.
fn report(file: &str, raw: Option<&str>, models: &Models) -> Result<String, String> {
    let bytes = std::fs::read(file).map_err(|e| e.to_string())?;
    let decoded = decode_with(&bytes, models).map_err(|e| e.to_string())?;
    if let Some(out) = raw {
        std::fs::write(out, &decoded.content).map_err(|e| format!("{out}: {e}"))?;
    }
    Ok(format!(
        "{}, {}, {} samples, content hash {:016x}",
        codec_name(decoded.stream.codec),
        decoded.stream.media,
        decoded.samples,
        decoded.hash
    ))
}

//! `rcodec dict train`.

use crate::args::{DictCommand, DictTrainArgs};
use crate::exit::{Failure, Outcome};
use crate::inputs::{Select, expand};
use crate::pending::PendingFile;
use crate::report::grouped;
use std::io::Write;

/// Samples beyond this many bytes in all are not looked at: the trainer's own
/// advice is a hundred times the dictionary.
const MAX_SAMPLE_BYTES: usize = 1 << 30;

pub(crate) fn run(command: &DictCommand) -> Result<Outcome, Failure> {
    match command {
        DictCommand::Train(args) => train(args),
    }
}

fn train(args: &DictTrainArgs) -> Result<Outcome, Failure> {
    let mut samples = Vec::new();
    let mut total = 0;
    for file in expand(&args.inputs, args.recursive, Select::All) {
        let input = file.map_err(|(path, failure)| failure.about(path.display()))?;
        let sample =
            std::fs::read(&input.path).map_err(|e| Failure::from(e).about(input.path.display()))?;
        total += sample.len();
        samples.push(sample);
        if total > MAX_SAMPLE_BYTES {
            break;
        }
    }
    let size = usize::try_from(args.size).map_err(|_| Failure::usage("--size is too large"))?;
    let dictionary = rcodec::train_dictionary(&samples, size)?;
    let pending = PendingFile::create(&args.output, args.force)?;
    let mut writer = pending.writer();
    writer.write_all(&dictionary)?;
    writer.flush()?;
    drop(writer);
    pending.commit(None)?;
    println!(
        "{}: {} bytes from {} samples of {} bytes",
        args.output.display(),
        grouped(dictionary.len() as u64),
        samples.len(),
        grouped(total as u64)
    );
    Ok(Outcome::default())
}

//! `rcodec decode` and `rcodec verify`.

use crate::args::{DecodeArgs, LimitArgs, VerifyArgs};
use crate::exit::{Failure, Outcome};
use crate::inputs::{EXTENSION, Input, Select, for_each};
use crate::limits::{add_prior, load_dictionary};
use crate::output::{PendingFile, Target, several};
use crate::progress::FileProgress;
use crate::report::FileReport;
use rcodec::{Budget, DecodeContext, MediaHeader, StreamDecoder};
use rcodec_io::{OutputFormat, Sink};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

pub(crate) fn run(args: &DecodeArgs) -> Result<Outcome, Failure> {
    args.outputs.check(&args.inputs.inputs)?;
    let format = chosen_format(args)?;
    let dictionary = load_dictionary(args.limits.dict.as_deref())?;
    add_prior(args.limits.prior.as_deref())?;
    let several = several(&args.inputs.inputs);
    Ok(for_each(&args.inputs, Select::Ours, |input| {
        let target = args.outputs.target(input, several, |path| {
            let restored = without_extension(path)?;
            Ok(match format {
                // Asked for another format by name: the name should say so.
                Some((format, true)) => with_format(restored, format),
                _ => restored,
            })
        })?;
        decode_file(input, &target, args, format.map(|(f, _)| f), &dictionary)
    }))
}

/// `photo.png.rcd` becomes `photo.png`.
fn without_extension(path: &Path) -> Result<PathBuf, Failure> {
    if path.extension().is_some_and(|e| e == EXTENSION) && path.file_stem().is_some() {
        Ok(path.with_extension(""))
    } else {
        Err(Failure::usage(format!(
            "the name does not end in .{EXTENSION} (-o says where to write)"
        )))
    }
}

fn with_format(path: PathBuf, format: OutputFormat) -> PathBuf {
    match format.extension() {
        Some(extension) => path.with_extension(extension),
        None => path,
    }
}

/// The format asked for, and whether by name (and not by the output's
/// extension).
fn chosen_format(args: &DecodeArgs) -> Result<Option<(OutputFormat, bool)>, Failure> {
    if let Some(name) = &args.format {
        let format = OutputFormat::from_extension(name)
            .ok_or_else(|| Failure::usage(format!("there is no output format {name:?}")))?;
        return Ok(Some((format, true)));
    }
    let extension = args.outputs.output.as_deref().and_then(Path::extension);
    Ok(extension
        .and_then(|e| OutputFormat::from_extension(&e.to_string_lossy()))
        .map(|format| (format, false)))
}

/// Counts what goes through it.
struct CountingWriter<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for CountingWriter<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// What came out of a decode.
struct Done {
    media: MediaHeader,
    codec: &'static str,
    samples: u64,
    rcd_bytes: u64,
}

fn decode_file(
    input: &Input,
    target: &Target,
    args: &DecodeArgs,
    format: Option<OutputFormat>,
    dictionary: &[u8],
) -> Result<(), Failure> {
    let started = Instant::now();
    let progress = FileProgress::new(&input.path, args.inputs.quiet || args.inputs.json);
    let budget = args.limits.budget();
    let media_bytes;
    let done = match target {
        Target::Stdout => {
            let mut out = CountingWriter {
                inner: io::stdout().lock(),
                bytes: 0,
            };
            let sink = Sink::Stream(Box::new(io::BufWriter::new(&mut out)));
            let done = decode(input, &progress, format, dictionary, budget, sink)?;
            media_bytes = out.bytes;
            done
        }
        Target::File(path) => {
            let attributes = input.attributes()?;
            let pending = PendingFile::create(path, args.outputs.force)?;
            let sink = Sink::File(Box::new(pending.writer()));
            let done = decode(input, &progress, format, dictionary, budget, sink)?;
            media_bytes = pending.reopen()?.metadata()?.len();
            pending.commit(attributes.as_ref())?;
            if args.outputs.remove_source {
                fs::remove_file(&input.path)?;
            }
            done
        }
    };
    drop(progress);
    let report = FileReport {
        action: "decoded",
        input: &input.path,
        output: match target {
            Target::Stdout => None,
            Target::File(path) => Some(path.display().to_string()),
        },
        codec: done.codec,
        media: &done.media,
        media_bytes,
        rcd_bytes: done.rcd_bytes,
        samples: done.samples,
        elapsed: started.elapsed(),
        note: None,
    };
    let data_on_stdout = *target == Target::Stdout;
    report.print(
        args.inputs.json,
        // Figures among the data of a pipe help nobody unless asked for.
        args.inputs.quiet || (data_on_stdout && !args.inputs.json),
        data_on_stdout,
    );
    Ok(())
}

fn context<'a>(
    dictionary: &'a [u8],
    budget: Budget,
    progress: &'a FileProgress,
) -> DecodeContext<'a> {
    DecodeContext {
        threads: rayon::current_num_threads(),
        dictionary,
        budget,
        progress,
    }
}

fn decode(
    input: &Input,
    progress: &Arc<FileProgress>,
    format: Option<OutputFormat>,
    dictionary: &[u8],
    budget: Budget,
    sink: Sink<'_>,
) -> Result<Done, Failure> {
    let reader = input.open(progress)?;
    let mut decoder = StreamDecoder::open(reader, context(dictionary, budget.clone(), progress))?;
    let header = decoder.header().clone();
    let format = match (format, &header.media) {
        // An extension says nothing about bytes.
        (_, MediaHeader::Bytes) => OutputFormat::Bytes,
        (Some(format), _) => format,
        (None, media) => rcodec_io::restore_format(media, decoder.metadata()),
    };
    let mut writer = rcodec_io::create(format, &header.media, decoder.metadata(), sink, &budget)?;
    while let Some(unit) = decoder.next_unit()? {
        writer.write(unit)?;
    }
    let samples = decoder.samples();
    let summary = decoder.finish()?;
    writer.finish(&summary.tail)?;
    Ok(Done {
        codec: rcodec::codec(header.codec)?.info().name,
        media: header.media,
        samples,
        rcd_bytes: summary.bytes,
    })
}

pub(crate) fn verify(args: &VerifyArgs) -> Result<Outcome, Failure> {
    let dictionary = load_dictionary(args.limits.dict.as_deref())?;
    add_prior(args.limits.prior.as_deref())?;
    Ok(for_each(&args.inputs, Select::Ours, |input| {
        verify_file(input, args, &args.limits, &dictionary)
    }))
}

fn verify_file(
    input: &Input,
    args: &VerifyArgs,
    limits: &LimitArgs,
    dictionary: &[u8],
) -> Result<(), Failure> {
    let started = Instant::now();
    let progress = FileProgress::new(&input.path, args.inputs.quiet || args.inputs.json);
    let reader = input.open(&progress)?;
    let mut decoder = StreamDecoder::open(reader, context(dictionary, limits.budget(), &progress))?;
    let header = decoder.header().clone();
    while decoder.next_unit()?.is_some() {}
    let samples = decoder.samples();
    let summary = decoder.finish()?;
    drop(progress);
    let report = FileReport {
        action: "verified",
        input: &input.path,
        output: None,
        codec: rcodec::codec(header.codec)?.info().name,
        media: &header.media,
        media_bytes: 0,
        rcd_bytes: summary.bytes,
        samples,
        elapsed: started.elapsed(),
        note: None,
    };
    report.print(args.inputs.json, args.inputs.quiet, false);
    Ok(())
}

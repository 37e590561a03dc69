//! `rcodec decode` and `rcodec verify`.

use crate::args::{DecodeArgs, LimitArgs, VerifyArgs};
use crate::exit::{Failure, Outcome};
use crate::inputs::{AtOnce, EXTENSION, Input, Select, for_each};
use crate::limits::{add_language_model, add_prior, load_dictionary};
use crate::output::{Target, Targets, several};
use crate::pending::{PendingFile, remove_source};
use crate::progress::FileProgress;
use crate::range::{RangeReader, Wanted, seekable};
use crate::recover;
use crate::report::FileReport;
use rcodec::{Budget, DecodeContext, MediaHeader, Metadata, Recovery, StreamDecoder};
use rcodec_io::{OutputFormat, Sink};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

pub(crate) fn run(args: &DecodeArgs) -> Result<Outcome, Failure> {
    args.outputs.check(&args.inputs.inputs)?;
    let format = chosen_format(args)?;
    let dictionary = load_dictionary(args.limits.dict.as_deref())?;
    add_prior(args.limits.prior.as_deref())?;
    add_language_model(args.limits.model.as_deref())?;
    let several = several(&args.inputs.inputs);
    let targets = Targets::default();
    let at_once = args.outputs.at_once();
    Ok(for_each(&args.inputs, Select::Ours, at_once, |input| {
        let target = args.outputs.target(input, several, |path| {
            let restored = without_extension(path)?;
            Ok(match format {
                // Asked for another format by name: the name should say so.
                Some((format, true)) => with_format(restored, format),
                _ => restored,
            })
        })?;
        targets.claim(&target)?;
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
    /// None where only a part was read.
    rcd_bytes: Option<u64>,
    /// What was lost and is silence now.
    lost: Option<String>,
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
    let how = How {
        wanted: (args.from.is_some() || args.to.is_some()).then_some(Wanted {
            from: args.from,
            to: args.to,
        }),
        recover: args.recover,
        format,
        dictionary,
        budget,
    };
    let done = match target {
        Target::Stdout => {
            let mut out = CountingWriter {
                inner: io::stdout().lock(),
                bytes: 0,
            };
            let sink = Sink::Stream(Box::new(io::BufWriter::new(&mut out)));
            let done = decode_as(input, &progress, &how, sink)?;
            media_bytes = out.bytes;
            done
        }
        Target::File(path) => {
            let attributes = input.attributes()?;
            let pending = PendingFile::create(path, args.outputs.force)?;
            let sink = Sink::File(Box::new(pending.writer()));
            let done = decode_as(input, &progress, &how, sink)?;
            media_bytes = pending.reopen()?.metadata()?.len();
            pending.commit(attributes.as_ref())?;
            if args.outputs.remove_source {
                remove_source(&input.path, attributes.as_ref())?;
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
    match done.lost {
        Some(what) => Err(Failure::lost(what)),
        None => Ok(()),
    }
}

/// What a file is decoded to, and how.
struct How<'a> {
    /// A part of a sound, or of bytes.
    wanted: Option<Wanted>,
    /// Go on behind damage.
    recover: bool,
    format: Option<OutputFormat>,
    dictionary: &'a [u8],
    budget: Budget,
}

fn decode_as(
    input: &Input,
    progress: &Arc<FileProgress>,
    how: &How,
    sink: Sink<'_>,
) -> Result<Done, Failure> {
    let context = context(how.dictionary, how.budget.clone(), progress);
    if let Some(wanted) = how.wanted {
        return match seekable(input)? {
            // A small buffer: of blocks that are stepped over, only heads are
            // read.
            Some(file) => {
                let reader = BufReader::with_capacity(4 << 10, file);
                decode_range(RangeReader::seek(reader, context, wanted)?, how, sink)
            }
            None => {
                let reader = input.open(progress)?;
                decode_range(RangeReader::read(reader, context, wanted)?, how, sink)
            }
        };
    }
    if how.recover {
        let file = recover::read_whole(input, progress, &how.budget)?;
        if recover::is_worth_it(&file.bytes) {
            return decode_recovering(input, &file.bytes, how, sink);
        }
    }
    decode(
        input,
        progress,
        how.format,
        how.dictionary,
        how.budget.clone(),
        sink,
    )
}

/// Decodes what is left of a damaged sound.
fn decode_recovering(
    input: &Input,
    file: &[u8],
    how: &How,
    sink: Sink<'_>,
) -> Result<Done, Failure> {
    let mut recovery = Recovery::open(file, how.budget.clone())?;
    let header = recovery.header().clone();
    let MediaHeader::Audio(audio) = &header.media else {
        return Err(Failure::usage("only sound can be recovered"));
    };
    let restored = rcodec_io::restore_format(&header.media, recovery.metadata());
    let format = how.format.unwrap_or(restored);
    let metadata = recovery.metadata();
    let mut writer = rcodec_io::create(format, &header.media, metadata, sink, &how.budget)?;
    while let Some(unit) = recovery.next_unit()? {
        writer.write(unit)?;
    }
    writer.finish(recovery.tail())?;
    Ok(Done {
        codec: rcodec::codec(header.codec)?.info().name,
        samples: recovery.frames() * u64::from(audio.channels),
        rcd_bytes: Some(file.len() as u64),
        lost: recover::report(input, &recovery, audio.sample_rate),
        media: header.media,
    })
}

/// Writes a part of a sound, or of bytes, as a file of its own.
fn decode_range<R: BufRead>(
    mut range: RangeReader<'_, R>,
    how: &How,
    sink: Sink<'_>,
) -> Result<Done, Failure> {
    let header = range.decoder().header().clone();
    let format = match header.media {
        MediaHeader::Bytes => OutputFormat::Bytes,
        _ => how.format.unwrap_or(OutputFormat::Wav),
    };
    let metadata = range.metadata();
    let mut writer = rcodec_io::create(format, &header.media, &metadata, sink, &how.budget)?;
    while let Some(unit) = range.next_unit()? {
        writer.write(unit)?;
    }
    writer.finish(&Metadata::default())?;
    Ok(Done {
        codec: rcodec::codec(header.codec)?.info().name,
        media: header.media,
        samples: range.samples(),
        rcd_bytes: None,
        lost: None,
    })
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
        rcd_bytes: Some(summary.bytes),
        lost: None,
    })
}

pub(crate) fn verify(args: &VerifyArgs) -> Result<Outcome, Failure> {
    let dictionary = load_dictionary(args.limits.dict.as_deref())?;
    add_prior(args.limits.prior.as_deref())?;
    add_language_model(args.limits.model.as_deref())?;
    Ok(for_each(
        &args.inputs,
        Select::Ours,
        AtOnce::Many,
        |input| verify_file(input, args, &args.limits, &dictionary),
    ))
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
        rcd_bytes: Some(summary.bytes),
        samples,
        elapsed: started.elapsed(),
        note: None,
    };
    report.print(args.inputs.json, args.inputs.quiet, false);
    Ok(())
}

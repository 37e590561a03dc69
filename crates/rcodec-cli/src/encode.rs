//! `rcodec encode`.

use crate::args::EncodeArgs;
use crate::exit::{Failure, Outcome};
use crate::inputs::{EXTENSION, Input, READ_BUFFER_BYTES, Select, for_each};
use crate::limits::{add_language_model, add_prior, load_dictionary};
use crate::live;
use crate::output::{Target, Targets, check_stdout, several};
use crate::pending::{PendingFile, remove_source};
use crate::progress::{CountingReader, FileProgress};
use crate::report::FileReport;
use rcodec::{
    Budget, Candidate, Codec, CodecId, ColorType, DecodeContext, Effort, EncodeContext, Latency,
    Limits, Media, MediaHeader, MediaKind, Metadata, MetadataKey, ModelId, NoProgress, Rate,
    Setting, StreamDecoder, StreamEncoder,
};
use rcodec_io::{Animation, LoudnessMeter, ReadOptions, SourceKind};
use rcodec_model::registry::Registry;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// By how many bytes bytes may grow.
const MOST_GROWTH_BYTES: u64 = 16;

const STORED_NOTE: &str = "stored: it is small already";

/// Quality where `--lossy` names none.
const DEFAULT_QUALITY: u8 = 75;

pub(crate) fn run(args: &EncodeArgs) -> Result<Outcome, Failure> {
    args.outputs.check(&args.inputs.inputs)?;
    let job = Job::new(args)?;
    let several = several(&args.inputs.inputs);
    let targets = Targets::default();
    let at_once = args.outputs.at_once();
    Ok(for_each(&args.inputs, Select::NotOurs, at_once, |input| {
        let target = args
            .outputs
            .target(input, several, |p| Ok(with_extension(p)))?;
        targets.claim(&target)?;
        job.encode_file(input, &target)
    }))
}

/// Whether a picture has a palette or less than 8 bits: lossless coding makes
/// such ones smaller than a learned transform can.
fn is_graphic(media: &MediaHeader) -> bool {
    match media {
        MediaHeader::Image(image) => image.color == ColorType::Indexed || image.bits < 8,
        _ => false,
    }
}

/// `photo.png` becomes `photo.png.rcd`.
fn with_extension(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(EXTENSION);
    PathBuf::from(name)
}

/// What is the same for all files of one call.
struct Job<'a> {
    args: &'a EncodeArgs,
    codec: Option<&'static dyn Codec>,
    rate: Rate,
    effort: Effort,
    options: Vec<(String, i64)>,
    text_options: Vec<(String, i64)>,
    model: Option<ModelId>,
    prior: Option<ModelId>,
    /// A language model, for text.
    language: Option<ModelId>,
    dictionary: Vec<u8>,
}

/// How one file is read and encoded.
#[derive(Clone, Copy)]
struct Plan {
    read: ReadOptions,
    /// None: by content.
    codec: Option<&'static dyn Codec>,
}

/// The codec for a file, and what to tell of it.
struct Choice {
    codec: &'static dyn Codec,
    rate: Rate,
    /// By how much samples of a picture may be off before they are coded
    /// without loss.
    max_error: u16,
    note: Option<&'static str>,
}

impl Choice {
    fn lossless(codec: &'static dyn Codec, note: Option<&'static str>) -> Self {
        Choice {
            codec,
            rate: Rate::Lossless,
            max_error: 0,
            note,
        }
    }
}

/// A finished encode.
struct Done {
    rcd_bytes: u64,
    samples: u64,
    media: MediaHeader,
    codec: &'static dyn Codec,
    note: Option<String>,
}

impl<'a> Job<'a> {
    fn new(args: &'a EncodeArgs) -> Result<Self, Failure> {
        let codec = match &args.codec {
            None => None,
            Some(name) => Some(rcodec::codec_named(name).ok_or_else(|| {
                Failure::usage(format!(
                    "there is no codec {name:?} (`rcodec codecs` lists them)"
                ))
            })?),
        };
        let mut options = Vec::new();
        options.extend(args.level.map(|level| ("level".to_string(), level)));
        options.extend(args.long.map(|log| ("long".to_string(), log)));
        let memory = args.memory.map(|bytes| (bytes >> 20) as i64);
        let mut text_options = Vec::new();
        text_options.extend(memory.map(|mib| ("memory_mib".to_string(), mib)));
        let block = args.block_size.map(|bytes| bytes.div_ceil(1024) as i64);
        text_options.extend(block.map(|kib| ("block_kib".to_string(), kib)));
        let rate = match args.quality {
            None if args.bitrate.is_some() => Rate::TargetBitrate(args.bitrate.unwrap_or(0)),
            Some(quality) => Rate::Quality(f32::from(quality)),
            None if args.lossy || args.target.target().is_some() => {
                Rate::Quality(f32::from(DEFAULT_QUALITY))
            }
            None => Rate::Lossless,
        };
        // A name, or the folder of a language model.
        let is_folder = |name: &&String| Path::new(name).is_dir();
        let folder = args.model.as_ref().filter(is_folder).map(Path::new);
        Ok(Job {
            args,
            codec,
            rate,
            effort: Effort::new(args.effort)?,
            options,
            text_options,
            language: add_language_model(folder)?,
            model: match &args.model {
                Some(name) if folder.is_none() => {
                    let budget = Budget::new(Limits::default());
                    Some(Registry::from_env().find(name, &budget)?)
                }
                _ => None,
            },
            prior: add_prior(args.prior.as_deref())?,
            dictionary: load_dictionary(args.dict.as_deref())?,
        })
    }

    fn plan(&self) -> Plan {
        let bytes = self.args.exact_file
            || self
                .codec
                .is_some_and(|codec| codec.info().media == MediaKind::Bytes);
        let lossy = self.rate != Rate::Lossless || self.args.max_error.is_some();
        Plan {
            read: ReadOptions {
                pixels: self.args.pixels || lossy,
                transcode: self.args.transcode || lossy,
                bytes,
                raw: self.args.raw,
            },
            codec: self.codec,
        }
    }

    fn encode_file(&self, input: &Input, target: &Target) -> Result<(), Failure> {
        let started = Instant::now();
        let progress = self.progress(input);
        let done = match target {
            Target::Stdout => {
                check_stdout(self.args.outputs.force)?;
                let out = BufWriter::new(std::io::stdout().lock());
                self.encode(input, &progress, self.plan(), out)?
            }
            Target::File(path) => self.encode_to(path, input, &progress)?,
        };
        let output = match target {
            Target::Stdout => None,
            Target::File(path) => Some(path.display().to_string()),
        };
        let report = FileReport {
            action: "encoded",
            input: &input.path,
            output,
            codec: done.codec.info().name,
            media: &done.media,
            media_bytes: progress.read_bytes(),
            rcd_bytes: Some(done.rcd_bytes),
            samples: done.samples,
            elapsed: started.elapsed(),
            note: done.note,
        };
        drop(progress);
        let data_on_stdout = *target == Target::Stdout;
        report.print(
            self.args.inputs.json,
            self.args.inputs.quiet,
            data_on_stdout,
        );
        Ok(())
    }

    /// Encodes to a file that appears only when it is complete and verified.
    fn encode_to(
        &self,
        path: &Path,
        input: &Input,
        progress: &Arc<FileProgress>,
    ) -> Result<Done, Failure> {
        let force = self.args.outputs.force;
        let attributes = input.attributes()?;
        let mut pending = PendingFile::create(path, force)?;
        let mut done = self.encode(input, progress, self.plan(), pending.writer())?;
        let asked = self.codec.is_some()
            || self.args.pixels
            || self.args.transcode
            || self.args.raw.is_some();
        let lossless = self.rate == Rate::Lossless && self.args.max_error.is_none();
        let may_store = !asked && lossless && !input.is_stdin();
        if may_store && done.rcd_bytes > progress.read_bytes() {
            let store = Plan {
                read: ReadOptions {
                    bytes: true,
                    ..ReadOptions::default()
                },
                codec: Some(rcodec::codec(CodecId::STORE)?),
            };
            let stored_file = PendingFile::create(path, force)?;
            let stored = self.encode(input, &self.progress(input), store, stored_file.writer())?;
            if stored.rcd_bytes < done.rcd_bytes {
                let note = done.note.or_else(|| Some(STORED_NOTE.to_string()));
                (pending, done) = (stored_file, Done { note, ..stored });
            }
        }
        let is_bytes = done.media.kind() == MediaKind::Bytes;
        if is_bytes && done.rcd_bytes > progress.read_bytes() + MOST_GROWTH_BYTES {
            let stored_file = PendingFile::create(path, force)?;
            done = self.store_written(&pending, &stored_file, done, progress)?;
            pending = stored_file;
        }
        if !self.args.no_verify {
            progress.clear();
            self.verify(&pending, input)?;
        }
        pending.commit(attributes.as_ref())?;
        if self.args.outputs.remove_source {
            remove_source(&input.path, attributes.as_ref())?;
        }
        Ok(done)
    }

    /// Writes the content of a finished encode again, as it is: of a pipe too,
    /// of which nobody knew at the beginning that it is all noise.
    fn store_written(
        &self,
        written: &PendingFile,
        stored: &PendingFile,
        done: Done,
        progress: &Arc<FileProgress>,
    ) -> Result<Done, Failure> {
        let store = rcodec::codec(CodecId::STORE)?;
        let context = DecodeContext {
            threads: rayon::current_num_threads(),
            dictionary: &self.dictionary,
            budget: Budget::new(Limits::unlimited()),
            progress: &NoProgress,
        };
        let reader = BufReader::with_capacity(READ_BUFFER_BYTES, written.reopen()?);
        let mut decoder = StreamDecoder::open(reader, context)?;
        let mut encoder = StreamEncoder::new(
            store,
            &done.media,
            decoder.metadata().clone(),
            EncodeContext {
                options: &[],
                dictionary: &[],
                model: None,
                ..self.context(store, Rate::Lossless, progress)
            },
            Latency::Smallest,
            stored.writer(),
        )?;
        while let Some(unit) = decoder.next_unit()? {
            encoder.write(unit)?;
        }
        let tail = decoder.finish()?.tail;
        let encoded = encoder.finish(&tail)?;
        Ok(Done {
            rcd_bytes: encoded.bytes,
            codec: store,
            note: done.note.or_else(|| Some(STORED_NOTE.to_string())),
            ..done
        })
    }

    fn progress(&self, input: &Input) -> Arc<FileProgress> {
        FileProgress::new(&input.path, self.args.inputs.quiet || self.args.inputs.json)
    }

    fn encode(
        &self,
        input: &Input,
        progress: &Arc<FileProgress>,
        plan: Plan,
        out: impl Write,
    ) -> Result<Done, Failure> {
        if let Some(seconds) = self.args.flush_interval
            && input.is_stdin()
        {
            return self.encode_live(input, progress, Duration::from_secs(seconds), out);
        }
        let reader = input.open(progress)?;
        // A picture that claims more than these limits is taken as bytes.
        let reading = Budget::new(Limits::default());
        let mut source = rcodec_io::open(reader, &plan.read, &reading)?;
        let media = source.header().clone();
        let mut choice = match plan.codec {
            Some(codec) => self.as_asked(codec),
            None => self.choose(source.kind(), &media)?,
        };
        let mut metadata = source.metadata().clone();
        if self.args.strip {
            rcodec_io::strip(&mut metadata);
        }
        // Sound from a pipe may be live; a picture or a text never waits long
        // for its second block.
        let live = input.is_stdin() && media.kind() == MediaKind::Audio;
        let mut first_units = Vec::new();
        if let Some(target) = self
            .args
            .target
            .target()
            .filter(|_| choice.codec.info().lossy)
        {
            while let Some(unit) = source.next_unit()? {
                first_units.push(unit);
            }
            self.aim(
                target,
                &mut choice,
                &media,
                &first_units,
                &metadata,
                progress,
            )?;
        }
        let frame_rows = frame_rows(choice.codec, &media, &metadata);
        let mut context = self.context(choice.codec, choice.rate, progress);
        if !frame_rows.is_empty() {
            context.options = &frame_rows;
        }
        let latency = if live {
            Latency::Live
        } else {
            Latency::Smallest
        };
        let mut encoder =
            StreamEncoder::new(choice.codec, &media, metadata, context, latency, out)?;
        let mut loudness = match &media {
            MediaHeader::Audio(audio) if self.args.loudness => LoudnessMeter::new(audio),
            _ => None,
        };
        let mut first_units = first_units.into_iter();
        loop {
            let unit = match first_units.next() {
                Some(unit) => unit,
                None => match source.next_unit()? {
                    Some(unit) => unit,
                    None => break,
                },
            };
            measure(&mut loudness, &unit);
            encoder.write(match &media {
                MediaHeader::Image(image) => rcodec::limit_error(image, unit, choice.max_error),
                _ => unit,
            })?;
        }
        let mut tail = source.tail_metadata().clone();
        if self.args.strip {
            rcodec_io::strip(&mut tail);
        }
        if let Some(loudness) = loudness {
            tail.push(MetadataKey::LOUDNESS, loudness.finish());
        }
        let encoded = encoder.finish(&tail)?;
        Ok(Done {
            rcd_bytes: encoded.bytes,
            samples: encoded.samples,
            note: choice.note.or(source.note()).map(str::to_string),
            media,
            codec: rcodec::codec(encoded.codec)?,
        })
    }

    /// Chooses what reaches a target.
    fn aim(
        &self,
        target: rcodec::Target,
        choice: &mut Choice,
        media: &MediaHeader,
        units: &[Media],
        metadata: &Metadata,
        progress: &Arc<FileProgress>,
    ) -> Result<(), Failure> {
        let MediaHeader::Image(image) = media else {
            return Err(rcodec::Error::unsupported("targets are for pictures").into());
        };
        let lossless = rcodec::codec(CodecId::IMAGE_LOSSLESS)?;
        let candidate = Candidate {
            image,
            units,
            metadata,
            lossy: choice.codec,
            lossless,
        };
        let setting = candidate.setting_for(target, |codec| EncodeContext {
            progress: &NoProgress,
            ..self.context(codec, Rate::Lossless, progress)
        })?;
        match setting {
            Setting::Quality(quality) => choice.rate = Rate::Quality(f32::from(quality)),
            Setting::MaxError(max_error) => *choice = self.near_lossless(lossless, max_error),
        }
        Ok(())
    }

    fn near_lossless(&self, codec: &'static dyn Codec, max_error: u16) -> Choice {
        Choice {
            max_error,
            ..Choice::lossless(codec, None)
        }
    }

    fn context<'b>(
        &'b self,
        codec: &dyn Codec,
        rate: Rate,
        progress: &'b Arc<FileProgress>,
    ) -> EncodeContext<'b> {
        let is_text = codec.info().id == CodecId::TEXT;
        let (options, model) = if is_text {
            (
                &self.text_options,
                self.prior.or(self.language).or(self.model),
            )
        } else {
            (&self.options, self.model)
        };
        EncodeContext {
            effort: self.effort,
            rate,
            threads: rayon::current_num_threads(),
            dictionary: &self.dictionary,
            options,
            model,
            budget: Budget::new(Limits::unlimited()),
            progress: progress.as_ref(),
        }
    }

    /// Encodes bytes as they come, and writes them every so often.
    fn encode_live(
        &self,
        input: &Input,
        progress: &Arc<FileProgress>,
        interval: Duration,
        out: impl Write,
    ) -> Result<Done, Failure> {
        let codec = match self.codec {
            Some(codec) => codec,
            None => rcodec::codec(CodecId::TEXT)?,
        };
        if codec.info().id != CodecId::TEXT {
            return Err(Failure::usage("--flush-interval is for the codec text"));
        }
        let choice = self.as_asked(codec);
        let media = MediaHeader::Bytes;
        let context = self.context(choice.codec, choice.rate, progress);
        let metadata = Metadata::default();
        let mut encoder =
            StreamEncoder::new(codec, &media, metadata.clone(), context, Latency::Live, out)?;
        live::write_all(input.open(progress)?, &mut encoder, interval)?;
        let encoded = encoder.finish(&metadata)?;
        Ok(Done {
            rcd_bytes: encoded.bytes,
            samples: encoded.samples,
            note: None,
            media,
            codec,
        })
    }

    /// How what was found is coded.
    fn choose(&self, kind: SourceKind, media: &MediaHeader) -> Result<Choice, Failure> {
        if let Some(max_error) = self.args.max_error
            && let MediaHeader::Image(image) = media
            && image.palette.is_empty()
        {
            let codec = rcodec::codec(CodecId::IMAGE_LOSSLESS)?;
            return Ok(self.near_lossless(codec, max_error));
        }
        if self.rate != Rate::Lossless && media.kind() != MediaKind::Bytes {
            if is_graphic(media) {
                let note = "no loss: a picture of few colours is smaller without";
                let codec = rcodec::default_codec(media.kind(), self.effort)?;
                return Ok(Choice::lossless(codec, Some(note)));
            }
            let lossy = rcodec::CODECS.iter().copied().find(|codec| {
                let info = codec.info();
                info.lossy && info.media == media.kind()
            });
            let codec = lossy.ok_or_else(|| {
                rcodec::Error::unsupported("this build has no lossy codec for this media")
            })?;
            return Ok(self.as_asked(codec));
        }
        if media.kind() == MediaKind::Bytes && kind.is_compressed() && self.options.is_empty() {
            return Ok(Choice::lossless(rcodec::codec(CodecId::STORE)?, None));
        }
        // Dictionaries and the options that the program has are Zstandard's.
        let wants_zstd = !self.options.is_empty() || !self.dictionary.is_empty();
        let codec = if media.kind() == MediaKind::Bytes && wants_zstd {
            rcodec::codec(CodecId::ZSTD)?
        } else {
            rcodec::default_codec(media.kind(), self.effort)?
        };
        Ok(Choice::lossless(codec, None))
    }

    fn as_asked(&self, codec: &'static dyn Codec) -> Choice {
        Choice {
            codec,
            rate: self.rate,
            max_error: match codec.info().id {
                CodecId::IMAGE_LOSSLESS => self.args.max_error.unwrap_or(0),
                _ => 0,
            },
            note: None,
        }
    }

    /// Decodes what was written; the content's checksum is that of the samples
    /// the encoder was given.
    fn verify(&self, pending: &PendingFile, input: &Input) -> Result<(), Failure> {
        let quiet = self.args.inputs.quiet || self.args.inputs.json;
        let progress = FileProgress::of_verification(&input.path, quiet);
        let file = pending.reopen()?;
        progress.set_total(file.metadata()?.len());
        let context = DecodeContext {
            threads: rayon::current_num_threads(),
            dictionary: &self.dictionary,
            budget: Budget::new(Limits::unlimited()),
            progress: progress.as_ref(),
        };
        let reader = BufReader::with_capacity(READ_BUFFER_BYTES, file);
        let reader = CountingReader::new(reader, Arc::clone(&progress));
        let check = || StreamDecoder::open(reader, context)?.finish();
        check().map(drop).map_err(|error| {
            Failure::from(error).about("the result does not decode to the source; nothing written")
        })
    }
}

/// What the codec of lossless pictures wants to know of an animation's frames:
/// how high most of them are.
fn frame_rows(codec: &dyn Codec, media: &MediaHeader, metadata: &Metadata) -> Vec<(String, i64)> {
    let rows = match media {
        MediaHeader::Image(image) if codec.info().id == CodecId::IMAGE_LOSSLESS => {
            Animation::of(metadata).map(|animation| animation.canvas_height(image.height))
        }
        _ => None,
    };
    let rows = rows.filter(|&rows| rows > 0);
    let rows = rows.map(|rows| ("frame_rows".to_string(), i64::from(rows)));
    rows.into_iter().collect()
}

/// Shows a unit of sound to the meter, if there is one.
fn measure(loudness: &mut Option<LoudnessMeter>, unit: &Media) {
    if let (Some(meter), Media::Audio(block)) = (loudness, unit) {
        meter.add(&block.samples);
    }
}

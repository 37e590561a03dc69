//! `rcodec encode`.

use crate::args::EncodeArgs;
use crate::exit::{Failure, Outcome};
use crate::inputs::{EXTENSION, Input, Select, for_each};
use crate::limits::load_dictionary;
use crate::output::{PendingFile, Target, check_stdout, several};
use crate::progress::FileProgress;
use crate::report::FileReport;
use rcodec::{
    Budget, Codec, CodecId, DecodeContext, Effort, EncodeContext, Latency, Limits, MediaHeader,
    MediaKind, Rate, StreamDecoder, StreamEncoder,
};
use rcodec_io::{ReadOptions, SourceKind};
use std::fs;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Quality where `--lossy` names none.
const DEFAULT_QUALITY: u8 = 75;

pub(crate) fn run(args: &EncodeArgs) -> Result<Outcome, Failure> {
    args.outputs.check(&args.inputs.inputs)?;
    let job = Job::new(args)?;
    let several = several(&args.inputs.inputs);
    Ok(for_each(&args.inputs, Select::NotOurs, |input| {
        let target = args
            .outputs
            .target(input, several, |p| Ok(with_extension(p)))?;
        job.encode_file(input, &target)
    }))
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
    dictionary: Vec<u8>,
}

/// How one file is read and encoded.
#[derive(Clone, Copy)]
struct Plan {
    read: ReadOptions,
    /// None: by content.
    codec: Option<&'static dyn Codec>,
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
        let rate = match args.quality {
            Some(quality) => Rate::Quality(f32::from(quality)),
            None if args.lossy => Rate::Quality(f32::from(DEFAULT_QUALITY)),
            None => Rate::Lossless,
        };
        Ok(Job {
            args,
            codec,
            rate,
            effort: Effort::new(args.effort)?,
            options,
            dictionary: load_dictionary(args.dict.as_deref())?,
        })
    }

    fn plan(&self) -> Plan {
        let bytes = self.args.exact_file
            || self
                .codec
                .is_some_and(|codec| codec.info().media == MediaKind::Bytes);
        let lossy = self.rate != Rate::Lossless;
        Plan {
            read: ReadOptions {
                pixels: self.args.pixels || lossy,
                transcode: self.args.transcode || lossy,
                bytes,
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
            rcd_bytes: done.rcd_bytes,
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
        let asked = self.codec.is_some() || self.args.pixels || self.args.transcode;
        let may_store = !asked && self.rate == Rate::Lossless && !input.is_stdin();
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
                let note = done
                    .note
                    .or_else(|| Some("stored: it is small already".to_string()));
                (pending, done) = (stored_file, Done { note, ..stored });
            }
        }
        if !self.args.no_verify {
            self.verify(&pending)?;
        }
        pending.commit(attributes.as_ref())?;
        if self.args.outputs.remove_source {
            fs::remove_file(&input.path)?;
        }
        Ok(done)
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
        let reader = input.open(progress)?;
        // A picture that claims more than these limits is taken as bytes.
        let reading = Budget::new(Limits::default());
        let mut source = rcodec_io::open(reader, &plan.read, &reading)?;
        let media = source.header().clone();
        let codec = match plan.codec {
            Some(codec) => codec,
            None => self.choose(source.kind(), &media)?,
        };
        let mut metadata = source.metadata().clone();
        if self.args.strip {
            rcodec_io::strip(&mut metadata);
        }
        // Sound from a pipe may be live; a picture or a text never waits long
        // for its second block.
        let live = input.is_stdin() && media.kind() == MediaKind::Audio;
        let context = EncodeContext {
            effort: self.effort,
            rate: self.rate,
            threads: rayon::current_num_threads(),
            dictionary: &self.dictionary,
            options: &self.options,
            budget: Budget::new(Limits::unlimited()),
            ..EncodeContext::default()
        };
        let latency = if live {
            Latency::Live
        } else {
            Latency::Smallest
        };
        let mut encoder = StreamEncoder::new(codec, &media, metadata, context, latency, out)?;
        while let Some(unit) = source.next_unit()? {
            encoder.write(unit)?;
        }
        let mut tail = source.tail_metadata().clone();
        if self.args.strip {
            rcodec_io::strip(&mut tail);
        }
        let encoded = encoder.finish(&tail)?;
        Ok(Done {
            rcd_bytes: encoded.bytes,
            samples: encoded.samples,
            note: source.note().map(str::to_string),
            media,
            codec,
        })
    }

    /// The codec for what was found.
    fn choose(&self, kind: SourceKind, media: &MediaHeader) -> Result<&'static dyn Codec, Failure> {
        if self.rate != Rate::Lossless && media.kind() != MediaKind::Bytes {
            let lossy = rcodec::CODECS.iter().copied().find(|codec| {
                let info = codec.info();
                info.lossy && info.media == media.kind()
            });
            return lossy.ok_or_else(|| {
                rcodec::Error::unsupported("this build has no lossy codec for this media").into()
            });
        }
        if media.kind() == MediaKind::Bytes && kind.is_compressed() && self.options.is_empty() {
            return Ok(rcodec::codec(CodecId::STORE)?);
        }
        // Dictionaries and the options that the program has are Zstandard's.
        let wants_zstd = !self.options.is_empty() || !self.dictionary.is_empty();
        if media.kind() == MediaKind::Bytes && wants_zstd {
            return Ok(rcodec::codec(CodecId::ZSTD)?);
        }
        Ok(rcodec::default_codec(media.kind(), self.effort)?)
    }

    /// Decodes what was written; the content's checksum is that of the samples
    /// the encoder was given.
    fn verify(&self, pending: &PendingFile) -> Result<(), Failure> {
        let context = DecodeContext {
            threads: rayon::current_num_threads(),
            dictionary: &self.dictionary,
            budget: Budget::new(Limits::unlimited()),
            ..DecodeContext::default()
        };
        let reader = BufReader::with_capacity(256 << 10, pending.reopen()?);
        let check = || StreamDecoder::open(reader, context)?.finish();
        check().map(drop).map_err(|error| {
            Failure::from(error).about("the result does not decode to the source; nothing written")
        })
    }
}

//! The command line.

use clap::{Args as ClapArgs, Parser, Subcommand};
use rcodec::Target;
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    some of several files failed (the summary names them)
  2    wrong usage
  3    the input is damaged, truncated or not what it claims to be
  4    a limit (memory, samples, work) forbids going on
  5    reading or writing failed, or the target exists
  6    not supported by this build, or a model or dictionary is missing
  7    decoded with --recover, but something was lost (silence stands for it)
  130  interrupted";

/// Learned and classical codecs for images, audio, text and any bytes.
#[derive(Debug, Parser)]
#[command(name = "rcodec", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Args {
    /// Threads to use [default: all cores]. Never changes what is written.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Encode files: photo.png becomes photo.png.rcd
    #[command(visible_alias = "e")]
    Encode(EncodeArgs),
    /// Decode files: photo.png.rcd becomes photo.png again
    #[command(visible_alias = "d")]
    Decode(DecodeArgs),
    /// Decode and check files without writing anything
    Verify(VerifyArgs),
    /// Say what files contain, without decoding them
    Info(InfoArgs),
    /// List the codecs of this build
    Codecs(ListArgs),
    /// Measure our codecs and other programs on your own files
    #[cfg(feature = "bench")]
    Bench(BenchArgs),
    /// Runs and measures programs for `bench`
    #[cfg(feature = "bench")]
    #[command(hide = true)]
    BenchChild,
    /// List, check and describe learned models
    Models(ModelsArgs),
    /// Work with dictionaries for many small similar files
    Dict {
        #[command(subcommand)]
        command: DictCommand,
    },
    /// Send sound through pipes, packet by packet
    Stream {
        #[command(subcommand)]
        command: StreamCommand,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff)
    Man,
}

/// Options of every command that works through many files.
#[derive(Debug, ClapArgs)]
pub(crate) struct Inputs {
    /// Files, folders (with -r), or - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Go into folders
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Print nothing but errors
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Print one JSON object per file
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,
}

/// Options of every command that writes files.
#[derive(Debug, ClapArgs)]
pub(crate) struct Outputs {
    /// The file to write, or the folder for several; - for standard output
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// Overwrite what is there
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Keep the source (the default)
    #[arg(long, conflicts_with = "remove_source")]
    pub(crate) keep: bool,
    /// Remove the source once the target is complete, verified and on the disk
    #[arg(long)]
    pub(crate) remove_source: bool,
}

/// What the quality of a picture is searched for.
#[derive(Debug, ClapArgs)]
#[group(id = "target", multiple = false, conflicts_with = "quality")]
pub(crate) struct TargetArgs {
    /// Allow loss in pictures: the best in so many bytes, such as 200K
    #[arg(long, value_name = "SIZE", value_parser = crate::limits::parse_size)]
    pub(crate) target_bytes: Option<u64>,
    /// Allow loss in pictures: the best in so many bits per pixel
    #[arg(long, value_name = "BITS", value_parser = positive)]
    pub(crate) target_bpp: Option<f64>,
    /// Allow loss in pictures: the smallest of at least this PSNR
    #[arg(long, value_name = "DB", value_parser = positive)]
    pub(crate) target_psnr: Option<f64>,
}

impl TargetArgs {
    /// The one that was given.
    pub(crate) fn target(&self) -> Option<Target> {
        let bytes = self.target_bytes.map(Target::Bytes);
        let bpp = self.target_bpp.map(Target::BitsPerPixel);
        let psnr = self.target_psnr.map(Target::Psnr);
        bytes.or(bpp).or(psnr)
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "no number".to_string())?;
    if number.is_finite() && number > 0.0 {
        Ok(number)
    } else {
        Err("not a number above 0".into())
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct EncodeArgs {
    #[command(flatten)]
    pub(crate) inputs: Inputs,
    #[command(flatten)]
    pub(crate) outputs: Outputs,
    /// The codec (see `rcodec codecs`) [default: by content]
    #[arg(long, value_name = "NAME")]
    pub(crate) codec: Option<String>,
    /// The learned model (see `rcodec models`), or for text the folder of a
    /// language model in the layout of Hugging Face; decoding needs that folder,
    /// too [default: the codec's choice]
    #[arg(long, value_name = "NAME|DIR")]
    pub(crate) model: Option<String>,
    /// A prior for text, made by `rcodec-train prior`; decoding needs it, too
    /// [default: the shipped one that fits]
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    pub(crate) prior: Option<PathBuf>,
    /// 1 (fast) to 9 (small)
    #[arg(short, long, default_value_t = 5, value_name = "1..9", value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) effort: u8,
    /// Give every sample back as it was (the default)
    #[arg(long, conflicts_with_all = ["lossy", "quality", "bitrate", "target", "max_error"])]
    pub(crate) lossless: bool,
    /// Allow loss, at the default quality
    #[arg(long, conflicts_with = "max_error")]
    pub(crate) lossy: bool,
    /// Allow loss, at this quality
    #[arg(short, long, value_name = "1..100", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) quality: Option<u8>,
    /// Allow loss in sound: bits per second, such as 64k
    #[arg(long, value_name = "RATE", value_parser = parse_bitrate, conflicts_with_all = ["quality", "target"])]
    pub(crate) bitrate: Option<u32>,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Allow loss in pictures: no sample is off by more than this; for little
    /// loss (1 to 3 of 255) the smallest way
    #[arg(long, value_name = "N", conflicts_with_all = ["quality", "bitrate", "target"], value_parser = clap::value_parser!(u16).range(1..=4095))]
    pub(crate) max_error: Option<u16>,
    /// Decode pictures that are small as they are (JPEG, lossy WebP) to pixels
    #[arg(long, conflicts_with = "exact_file")]
    pub(crate) pixels: bool,
    /// Decode sound that is small as it is (FLAC, MP3, Ogg, AAC) to samples
    #[arg(long, conflicts_with = "exact_file")]
    pub(crate) transcode: bool,
    /// Sound: measure its loudness (EBU R128, ReplayGain) and keep it; `rcodec
    /// info` shows it
    #[arg(long)]
    pub(crate) loudness: bool,
    /// Take the input as sound without a header: RATE,CHANNELS,FORMAT, such as
    /// 48000,2,s16le (s8, u8; s16, s24, s32, f32 with le or be)
    #[arg(long, value_name = "SPEC", conflicts_with_all = ["exact_file", "transcode", "pixels"], value_parser = parse_raw)]
    pub(crate) raw: Option<rcodec_io::RawSound>,
    /// Give back the very bytes of the file, not only its pixels and metadata
    #[arg(long)]
    pub(crate) exact_file: bool,
    /// Drop metadata that does not change how the media looks or sounds
    #[arg(long, conflicts_with = "exact_file")]
    pub(crate) strip: bool,
    /// Do not decode the result for a check
    #[arg(long, conflicts_with = "remove_source")]
    pub(crate) no_verify: bool,
    /// The codec text: memory to keep to, about, such as 64M, for each thread
    #[arg(long, value_name = "SIZE", value_parser = crate::limits::parse_size)]
    pub(crate) memory: Option<u64>,
    /// The codec text: cut the content into blocks of about SIZE (1K to 64M), each
    /// of which decodes by itself; small ones make parts (`decode --from`)
    /// quicker to reach, and the file larger [default: 8M; 32M from effort 7 on,
    /// 64M at 9]
    #[arg(long, value_name = "SIZE", value_parser = crate::limits::parse_size)]
    pub(crate) block_size: Option<u64>,
    /// The codec text on a pipe: after so many seconds write what has come
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) flush_interval: Option<u64>,
    /// A dictionary from `rcodec dict train`; decoding needs it too
    #[arg(long, value_name = "FILE")]
    pub(crate) dict: Option<PathBuf>,
    /// The codec zstd: level, 1 to 22
    #[arg(long, value_name = "1..22", value_parser = clap::value_parser!(i64).range(1..=22))]
    pub(crate) level: Option<i64>,
    /// The codec zstd: match over long distances, in a window of 2^LOG bytes
    #[arg(long, value_name = "LOG", num_args = 0..=1, require_equals = true, default_missing_value = "27", value_parser = clap::value_parser!(i64).range(10..=30))]
    pub(crate) long: Option<i64>,
}

/// Limits of a decode.
#[derive(Debug, ClapArgs)]
pub(crate) struct LimitArgs {
    /// Memory for blocks and samples, such as 512M [default: 4G]
    #[arg(long, value_name = "SIZE", value_parser = crate::limits::parse_size)]
    pub(crate) max_memory: Option<u64>,
    /// Samples (pixels times channels, or bytes) of a file, such as 100M
    #[arg(long, value_name = "COUNT", value_parser = crate::limits::parse_size)]
    pub(crate) max_samples: Option<u64>,
    /// Pixels of a picture, such as 64G [default: 16G]
    #[arg(long, value_name = "COUNT", value_parser = crate::limits::parse_size)]
    pub(crate) max_pixels: Option<u64>,
    /// The dictionary the files were encoded with
    #[arg(long, value_name = "FILE")]
    pub(crate) dict: Option<PathBuf>,
    /// The prior the files were encoded with
    #[arg(long, value_name = "FILE")]
    pub(crate) prior: Option<PathBuf>,
    /// The folder of the language model the files were encoded with
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DecodeArgs {
    #[command(flatten)]
    pub(crate) inputs: Inputs,
    #[command(flatten)]
    pub(crate) outputs: Outputs,
    /// Sound: begin at this time, as [[H:]M:]S[.fraction]. Text and other
    /// bytes: begin at this byte, the first being 0; 64K is 65536. Blocks before
    /// it are not read
    #[arg(long, value_name = "TIME|BYTE", value_parser = crate::range::parse_position, conflicts_with = "remove_source")]
    pub(crate) from: Option<crate::range::Position>,
    /// End before this time, or this byte
    #[arg(long, value_name = "TIME|BYTE", value_parser = crate::range::parse_position, conflicts_with = "remove_source")]
    pub(crate) to: Option<crate::range::Position>,
    /// Sound: go on behind damaged blocks; silence stands for them, and
    /// standard error says where
    #[arg(long, conflicts_with_all = ["from", "to", "remove_source"])]
    pub(crate) recover: bool,
    /// Write this format (png, ppm, pam, jpeg, webp, tiff, bmp, qoi, wav, raw)
    /// [default: by the name after -o, else that of the source]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) inputs: Inputs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    pub(crate) inputs: Inputs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ListArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Bits per second: `64k` and `64000` are the same.
pub(crate) fn parse_bitrate(text: &str) -> Result<u32, String> {
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1000.0),
        None => (text, 1.0),
    };
    let rate = positive(digits)? * factor;
    if (1000.0..=1e8).contains(&rate) {
        Ok(rate as u32)
    } else {
        Err("bit rates are 1k to 100000k".into())
    }
}

fn parse_raw(text: &str) -> Result<rcodec_io::RawSound, String> {
    rcodec_io::RawSound::parse(text)
        .ok_or_else(|| format!("{text:?} is no sound such as 48000,2,s16le"))
}

const MODEL_PLACES: &str = "\
Models are part of the program, or files with the extension .rcm in the folders
that RCODEC_MODELS names (separated as in PATH) or in the platform's data folder
(on Linux ~/.local/share/rcodec/models).";

#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true, after_help = MODEL_PLACES)]
pub(crate) struct ModelsArgs {
    #[command(flatten)]
    pub(crate) list: ListArgs,
    #[command(subcommand)]
    pub(crate) command: Option<ModelsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Check model files: hashes, shapes, the proof that no sum overflows, the
    /// tables, the work per sample
    Check(ModelsCheckArgs),
    /// Describe a model: how it was trained, its networks, its tensors
    Show(ModelsShowArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ModelsCheckArgs {
    /// Model files [default: all that are installed]
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Print one JSON object per file
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ModelsShowArgs {
    /// The model's name, its id, or its file
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StreamCommand {
    /// Sound to packets, each written as soon as it is complete
    Encode(StreamEncodeArgs),
    /// Packets to a WAV file or pipe; lost ones are concealed
    Decode(StreamDecodeArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct StreamEncodeArgs {
    /// A sound file, or - for standard input
    #[arg(default_value = "-", value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// Where to write; - for standard output
    #[arg(short, long, default_value = "-", value_name = "PATH")]
    pub(crate) output: PathBuf,
    /// Bits per second, such as 64k
    #[arg(long, value_name = "RATE", value_parser = parse_bitrate, conflicts_with = "quality")]
    pub(crate) bitrate: Option<u32>,
    /// Quality [default: 60]
    #[arg(short, long, value_name = "1..100", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) quality: Option<u8>,
    /// Length of a packet, about, in milliseconds; the delay is two and a half
    #[arg(long, value_name = "MS", default_value_t = 12, value_parser = clap::value_parser!(u32).range(5..=40))]
    pub(crate) frame: u32,
    /// No packet is larger than its share of the bit rate (from some 20 kbit/s a
    /// channel on)
    #[arg(long, requires = "bitrate")]
    pub(crate) cbr: bool,
    /// Packets may get lost: make each one decode by itself
    #[arg(long)]
    pub(crate) loss: bool,
    /// The input is sound without a header: RATE,CHANNELS,FORMAT, such as
    /// 48000,2,s16le
    #[arg(long, value_name = "SPEC", value_parser = parse_raw)]
    pub(crate) raw: Option<rcodec_io::RawSound>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct StreamDecodeArgs {
    /// What `stream encode` wrote, or - for standard input
    #[arg(default_value = "-", value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// Where to write; - for standard output
    #[arg(short, long, default_value = "-", value_name = "PATH")]
    pub(crate) output: PathBuf,
    /// Write samples without a header
    #[arg(long)]
    pub(crate) raw: bool,
    /// Lose so many packets, at random, such as 10%
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent, default_value = "0%")]
    pub(crate) simulate_loss: f64,
}

/// `10%` or `10`, as a share.
fn parse_percent(text: &str) -> Result<f64, String> {
    let number: f64 = text
        .trim_end_matches('%')
        .parse()
        .map_err(|_| "no number".to_string())?;
    if (0.0..=100.0).contains(&number) {
        Ok(number / 100.0)
    } else {
        Err("not 0% to 100%".into())
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum DictCommand {
    /// Train a dictionary on sample files
    Train(DictTrainArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DictTrainArgs {
    /// Sample files, or folders with -r
    #[arg(required = true, value_name = "FILE")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Go into folders
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// The dictionary to write
    #[arg(short, long, default_value = "dictionary.zdict", value_name = "PATH")]
    pub(crate) output: PathBuf,
    /// Largest size of the dictionary
    #[arg(long, default_value = "112K", value_name = "SIZE", value_parser = crate::limits::parse_size)]
    pub(crate) size: u64,
    /// Overwrite what is there
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// Threads that are allowed to what is measured.
#[cfg(feature = "bench")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Timing {
    /// One thread.
    One,
    /// As many as there are cores, where a program can use them.
    All,
    /// One, then the other.
    Both,
}

#[cfg(feature = "bench")]
#[derive(Debug, ClapArgs)]
pub(crate) struct BenchArgs {
    /// Folders, gone into, or files
    #[arg(required = true, value_name = "DIR")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Our codecs, or none [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) codecs: Vec<String>,
    /// Other programs: auto (all that are installed), none, or names
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "auto"
    )]
    pub(crate) peers: Vec<String>,
    /// Efforts of our codecs
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,5,9", value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) efforts: Vec<u8>,
    /// Qualities of lossy pictures (and of our lossy codecs), 1..100
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "15,30,45,60,75,90", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) qualities: Vec<u8>,
    /// Bit rates of other people's lossy sound, kbit/s
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "24,48,64,96,128", value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub(crate) bitrates: Vec<u32>,
    /// Lossless tools only
    #[arg(long)]
    pub(crate) lossless: bool,
    /// Lossy tools only
    #[arg(long)]
    pub(crate) lossy: bool,
    /// Also other programs' slowest settings (cjxl -e 9, cwebp -z 9, zpaq -method 5)
    #[arg(long)]
    pub(crate) slow: bool,
    /// The tool that others are compared with [default: avif, opus; lossless: jxl, flac, zstd-cli]
    #[arg(long, value_name = "NAME")]
    pub(crate) anchor: Option<String>,
    /// Folder of the report and of the results so far
    #[arg(short, long, value_name = "DIR", default_value = "report")]
    pub(crate) out: PathBuf,
    /// Measurements at a time; more than one makes times less sure
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: u16,
    /// Measurements of everything; the median counts. From 2 on, all warm up first
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) repeat: u32,
    /// Threads allowed to what is measured
    #[arg(long, value_enum, default_value = "both")]
    pub(crate) timing: Timing,
    /// Seconds after which a program is stopped
    #[arg(long, value_name = "S", default_value_t = 1800)]
    pub(crate) timeout: u64,
    /// Take JPEG and lossy WebP as pictures too
    #[arg(long)]
    pub(crate) pixels: bool,
    /// Measure nothing: write the report of what an interrupted run got to
    #[arg(long, conflicts_with = "fresh")]
    pub(crate) report_only: bool,
    /// Forget the results of an interrupted run
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Print nothing but errors
    #[arg(long)]
    pub(crate) quiet: bool,
}

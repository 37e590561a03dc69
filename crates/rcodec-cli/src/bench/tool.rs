//! What is measured: our codecs and other people's programs, each with the
//! command lines of its settings.

use crate::bench::peers::{PEERS, Peer};
use rcodec::{
    AudioBlock, AudioHeader, Codec, ColorType, EncodeContext, ImageHeader, ImageStrip, Media,
    MediaHeader, MediaKind, Rate, SampleFormat, Samples,
};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How many threads a measurement allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    One,
    All,
}

impl Threads {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Threads::One => "one",
            Threads::All => "all",
        }
    }
}

/// What a tool reads and gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plain {
    /// PNM where it can hold the picture, else PNG: reading it costs nothing.
    Pnm,
    Png,
    Wav,
    Bytes,
}

/// A command line with places to fill: `{in}`, `{out}`, `{q}` (the setting's
/// own arguments), `{threads}`, `{rate}` and `{khz}` (of sound), `{pnm}` (dwebp's
/// way to ask for PNM).
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    /// The result is what the program prints.
    pub(crate) to_stdout: bool,
}

/// One setting of a tool.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) label: String,
    pub(crate) args: Vec<String>,
    /// The quality or bit rate, for order along a curve.
    pub(crate) quality: Option<f64>,
    /// What tells curves of one tool apart.
    pub(crate) curve: String,
}

/// One tool that can be run.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) ours: bool,
    pub(crate) media: MediaKind,
    pub(crate) lossy: bool,
    pub(crate) reads: Plain,
    /// The extension of what it writes.
    pub(crate) extension: String,
    pub(crate) encode: Template,
    /// None where the encoded file is read by ourselves.
    pub(crate) decode: Option<Template>,
    /// What the decoder writes.
    pub(crate) gives: Plain,
    pub(crate) one_thread: Vec<String>,
    /// Empty where there is only one.
    pub(crate) all_threads: Vec<String>,
    /// More than 8 bits per sample.
    pub(crate) deep: bool,
    pub(crate) settings: Vec<Setting>,
}

impl Tool {
    /// Whether the tool is made for such media.
    pub(crate) fn takes(&self, media: &MediaHeader) -> bool {
        if media.kind() != self.media {
            return false;
        }
        match media {
            MediaHeader::Image(image) if self.lossy => {
                image.bits <= 8
                    && image.color.channels() % 2 == 1
                    && image.palette.iter().all(|entry| entry[3] == 255)
            }
            MediaHeader::Image(image) => self.ours || self.deep || image.bits <= 8,
            MediaHeader::Audio(audio) if self.lossy => {
                audio.format == SampleFormat::Int { bits: 16 } && audio.channels <= 2
            }
            MediaHeader::Audio(audio) => {
                self.ours || matches!(audio.format, SampleFormat::Int { bits: 16 | 24 })
            }
            _ => true,
        }
    }

    /// The ways of threading there are to measure.
    pub(crate) fn threads(&self, wanted: &[Threads]) -> Vec<Threads> {
        let can_all = !self.all_threads.is_empty();
        let mut list: Vec<Threads> = wanted
            .iter()
            .copied()
            .filter(|&t| t == Threads::One || can_all)
            .collect();
        if list.is_empty() {
            list.push(Threads::One);
        }
        list
    }

    /// A template's arguments, filled.
    pub(crate) fn fill(&self, template: &Template, fill: &Fill<'_>) -> Vec<String> {
        let threads = match fill.threads {
            Threads::One => &self.one_thread,
            Threads::All => &self.all_threads,
        };
        let mut args = Vec::new();
        for arg in &template.args {
            match arg.as_str() {
                "{q}" => args.extend(fill.setting.args.iter().cloned()),
                "{threads}" => args.extend(threads.iter().cloned()),
                "{pnm}" => {
                    let png = fill.output.extension().is_some_and(|e| e == "png");
                    args.extend((!png).then(|| "-ppm".to_string()));
                }
                _ => args.push(
                    arg.replace("{in}", &fill.input.to_string_lossy())
                        .replace("{out}", &fill.output.to_string_lossy())
                        .replace("{rate}", &fill.sample_rate.to_string())
                        .replace("{khz}", &(f64::from(fill.sample_rate) / 1000.0).to_string()),
                ),
            }
        }
        args
    }
}

/// What goes into a template.
pub(crate) struct Fill<'a> {
    pub(crate) setting: &'a Setting,
    pub(crate) threads: Threads,
    pub(crate) input: &'a Path,
    pub(crate) output: &'a Path,
    pub(crate) sample_rate: u32,
}

/// What the user asked for.
pub(crate) struct Choice<'a> {
    /// Names of our codecs; None for all.
    pub(crate) codecs: Option<&'a [String]>,
    /// Names of peers; None for all that are installed.
    pub(crate) peers: Option<&'a [String]>,
    pub(crate) efforts: &'a [u8],
    pub(crate) qualities: &'a [u8],
    pub(crate) bitrates: &'a [u32],
    pub(crate) lossless: bool,
    pub(crate) lossy: bool,
    /// Also the slowest settings of peers.
    pub(crate) slow: bool,
}

/// The tools to measure, and a line for each that is missing.
pub(crate) fn choose(choice: &Choice<'_>) -> Result<(Vec<Tool>, Vec<String>), String> {
    let mut tools = Vec::new();
    let mut missing = Vec::new();
    let wanted = |lossy: bool| if lossy { choice.lossy } else { choice.lossless };
    let named = |list: Option<&[String]>, name: &str| {
        list.is_none_or(|list| list.iter().any(|n| n == name))
    };
    for name in choice.codecs.unwrap_or_default() {
        if rcodec::codec_named(name).is_none() {
            return Err(format!(
                "there is no codec {name:?} (`rcodec codecs` lists them)"
            ));
        }
    }
    for name in choice.peers.unwrap_or_default() {
        if !PEERS.iter().any(|peer| peer.name == name) {
            let names: Vec<&str> = PEERS.iter().map(|peer| peer.name).collect();
            return Err(format!(
                "there is no peer {name:?}, only {}",
                names.join(", ")
            ));
        }
    }
    for codec in rcodec::CODECS {
        let info = codec.info();
        if !wanted(info.lossy) || !named(choice.codecs, info.name) {
            continue;
        }
        match works(*codec) {
            Ok(sample) => tools.push(ours(info, choice, sample)),
            Err(why) => missing.push(format!("{} ({why})", info.name)),
        }
    }
    for peer in PEERS {
        if !wanted(peer.lossy) || !named(choice.peers, peer.name) {
            continue;
        }
        match version(peer) {
            Some(version) => tools.push(peer.tool(version, choice)),
            None => missing.push(format!("{} ({})", peer.name, peer.encode[0])),
        }
    }
    missing.dedup();
    Ok((tools, missing))
}

fn ours(info: &rcodec::Info, choice: &Choice<'_>, sample: Option<u64>) -> Tool {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("rcodec"));
    let template = |command: &str, extra: &[&str]| {
        let mut args: Vec<String> = [command, "--quiet", "--force", "{threads}"]
            .map(String::from)
            .to_vec();
        args.extend(extra.iter().map(ToString::to_string));
        Template {
            program: program.display().to_string(),
            args,
            to_stdout: false,
        }
    };
    let codec = [
        "--codec",
        info.name,
        "--no-verify",
        "{q}",
        "-o",
        "{out}",
        "{in}",
    ];
    let mut settings = Vec::new();
    for effort in choice.efforts {
        let args = vec!["-e".to_string(), effort.to_string()];
        if info.lossy {
            for quality in choice.qualities {
                let mut args = args.clone();
                args.extend(["-q".to_string(), quality.to_string()]);
                settings.push(Setting {
                    label: format!("-e {effort} -q {quality}"),
                    args,
                    quality: Some(f64::from(*quality)),
                    curve: format!("-e {effort}"),
                });
            }
        } else {
            settings.push(Setting {
                label: format!("-e {effort}"),
                args,
                quality: None,
                curve: String::new(),
            });
        }
    }
    if info.id == rcodec::CodecId::STORE {
        settings.truncate(1);
    }
    let plain = match info.media {
        MediaKind::Image => Plain::Pnm,
        MediaKind::Audio => Plain::Wav,
        MediaKind::Bytes => Plain::Bytes,
    };
    Tool {
        name: info.name.to_string(),
        version: own_version(&program, sample),
        ours: true,
        media: info.media,
        lossy: info.lossy,
        reads: plain,
        extension: "rcd".into(),
        encode: template("encode", &codec),
        decode: Some(template("decode", &["-o", "{out}", "{in}"])),
        gives: plain,
        one_thread: vec!["--threads".into(), "1".into()],
        all_threads: vec!["--threads".into(), all_cores().to_string()],
        deep: true,
        settings,
    }
}

pub(crate) fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The version and a hash of the program and, for codecs with learned models,
/// of what it makes: results of another build or model are not ours.
fn own_version(program: &Path, sample: Option<u64>) -> String {
    let bytes = std::fs::read(program).unwrap_or_default();
    let hash = xxhash_rust::xxh3::xxh3_64(&bytes) ^ sample.unwrap_or(0);
    format!("{} ({:08x})", env!("CARGO_PKG_VERSION"), hash >> 32)
}

/// Whether a codec can encode: one that needs a learned model may lack it. A
/// hash of a small file says which model it takes; there is none for lossless
/// codecs.
fn works(codec: &dyn Codec) -> rcodec::Result<Option<u64>> {
    let info = codec.info();
    if !info.lossy {
        return Ok(None);
    }
    let (header, unit) = match info.media {
        MediaKind::Image => {
            let header = ImageHeader {
                width: 64,
                height: 64,
                color: ColorType::Rgb,
                bits: 8,
                palette: Vec::new(),
            };
            let samples = Samples::U8((0..64 * 64 * 3).map(|i| (i / 48) as u8).collect());
            let strip = ImageStrip { rows: 64, samples };
            (MediaHeader::Image(header), Media::Image(strip))
        }
        MediaKind::Audio => {
            let header = AudioHeader {
                sample_rate: 48_000,
                channels: 1,
                format: SampleFormat::Int { bits: 16 },
            };
            let samples = (0..4800).map(|i| i % 100 * 50).collect();
            (
                MediaHeader::Audio(header),
                Media::Audio(AudioBlock { samples }),
            )
        }
        MediaKind::Bytes => (MediaHeader::Bytes, Media::Bytes(b"some text".to_vec())),
    };
    let context = EncodeContext {
        rate: Rate::Quality(50.0),
        ..EncodeContext::default()
    };
    let file = rcodec::encode(codec, &header, [unit], context)?;
    Ok(Some(xxhash_rust::xxh3::xxh3_64(&file)))
}

/// The version a peer prints, or None if it cannot be run.
fn version(peer: &Peer) -> Option<String> {
    let output = Command::new(peer.encode[0])
        .args(peer.version)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    if let Some(decode) = peer.decode.first() {
        // The encoder alone is not enough.
        let found = Command::new(decode)
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        found.ok()?;
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    Some(version_in(&text))
}

/// What looks like a version: the first `v0.7.0`, else the first `1.2` or
/// `1.2.3`.
fn version_in(text: &str) -> String {
    let looks_right = |word: &&str| {
        let digits = word.trim_start_matches('v');
        digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.contains('.')
            && digits
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '.')
    };
    let words = || text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '(' | ')' | ':'));
    let marked = words().find(|word| word.starts_with('v') && looks_right(word));
    marked.or_else(|| words().find(looks_right)).map_or_else(
        || "unknown".into(),
        |word| word.trim_matches('.').to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn versions_are_found() {
        assert_eq!(version_in("cjxl v0.7.0 [AVX3]"), "v0.7.0");
        assert_eq!(version_in("1.2.4\nlibsharpyuv: 0.2.1"), "1.2.4");
        assert_eq!(
            version_in("libjpeg-turbo version 2.1.5 (build 2023)"),
            "2.1.5"
        );
        assert_eq!(version_in("Version: 0.11.1 (dav1d"), "0.11.1");
        assert_eq!(version_in("mse: 45.62\nSac v0.7.25 - Lossless"), "v0.7.25");
        assert_eq!(version_in("no version at all. None."), "unknown");
    }
}

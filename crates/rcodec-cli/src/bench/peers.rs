//! The other programs, and how each is called.
//!
//! A new one is a new entry. Arguments may hold `{in}`, `{out}`, `{rate}`;
//! `{q}` stands for the setting's arguments, `{threads}` for `one` or `all`. A
//! first argument of `>` means that the result is what the program prints.

use crate::bench::tool::{Choice, Plain, Setting, Template, Tool};
use rcodec::MediaKind::{self, Audio, Bytes, Image};

/// How a peer's settings come about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scale {
    /// Labels; the words of one are its arguments.
    Fixed(&'static [&'static str]),
    /// A flag and a quality of 1–100.
    Quality(&'static [&'static str]),
    /// A flag and a quantiser, 63 at quality 0 and 0 at quality 100.
    Quantizer63(&'static [&'static str]),
    /// A flag and a bit rate in kbit/s.
    Bitrate(&'static [&'static str]),
    /// A flag and a bit rate in kbit/s, with a `k` behind it.
    KiloBitrate(&'static [&'static str]),
}

/// A program that encodes, and one that decodes.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) media: MediaKind,
    pub(crate) lossy: bool,
    pub(crate) version: &'static [&'static str],
    pub(crate) reads: Plain,
    pub(crate) gives: Plain,
    pub(crate) extension: &'static str,
    /// The program first.
    pub(crate) encode: &'static [&'static str],
    /// Empty: we read the encoded file ourselves.
    pub(crate) decode: &'static [&'static str],
    pub(crate) one: &'static [&'static str],
    /// Empty: it uses one thread only.
    pub(crate) all: &'static [&'static str],
    pub(crate) scale: Scale,
    /// Labels of settings that take long, with `--slow` only.
    pub(crate) slow: &'static [&'static str],
    /// Takes more than 8 bits per sample.
    pub(crate) deep: bool,
}

const BASE: Peer = Peer {
    name: "",
    media: Bytes,
    lossy: false,
    version: &["--version"],
    reads: Plain::Bytes,
    gives: Plain::Bytes,
    extension: "bin",
    encode: &[],
    decode: &[],
    one: &[],
    all: &[],
    scale: Scale::Fixed(&[""]),
    slow: &[],
    deep: false,
};

const PICTURE: Peer = Peer {
    media: Image,
    reads: Plain::Pnm,
    gives: Plain::Pnm,
    ..BASE
};

const SOUND: Peer = Peer {
    media: Audio,
    reads: Plain::Wav,
    gives: Plain::Wav,
    ..BASE
};

/// All peers there are command lines for.
pub(crate) const PEERS: &[Peer] = &[
    Peer {
        name: "oxipng",
        reads: Plain::Png,
        gives: Plain::Png,
        extension: "png",
        encode: &[
            "oxipng",
            "-q",
            "--strip",
            "all",
            "{q}",
            "{threads}",
            "--out",
            "{out}",
            "{in}",
        ],
        one: &["-t", "1"],
        all: &["-t", "0"],
        scale: Scale::Fixed(&["-o 2"]),
        deep: true,
        ..PICTURE
    },
    Peer {
        name: "jxl",
        extension: "jxl",
        encode: &[
            "cjxl",
            "--quiet",
            "-d",
            "0",
            "{q}",
            "{threads}",
            "{in}",
            "{out}",
        ],
        decode: &["djxl", "--quiet", "{threads}", "{in}", "{out}"],
        one: &["--num_threads=0"],
        all: &["--num_threads=-1"],
        scale: Scale::Fixed(&["-e 3", "-e 7"]),
        slow: &["-e 9"],
        deep: true,
        ..PICTURE
    },
    Peer {
        name: "webp",
        version: &["-version"],
        extension: "webp",
        encode: &[
            "cwebp",
            "-quiet",
            "-lossless",
            "-exact",
            "{q}",
            "{threads}",
            "-o",
            "{out}",
            "{in}",
        ],
        decode: &["dwebp", "-quiet", "{pnm}", "-o", "{out}", "{in}"],
        all: &["-mt"],
        scale: Scale::Fixed(&["-z 6"]),
        slow: &["-z 9"],
        ..PICTURE
    },
    Peer {
        name: "flif",
        extension: "flif",
        encode: &["flif", "--overwrite", "-e", "{q}", "{in}", "{out}"],
        decode: &["flif", "--overwrite", "-d", "{in}", "{out}"],
        scale: Scale::Fixed(&["-E60"]),
        slow: &["-E100"],
        deep: true,
        ..PICTURE
    },
    Peer {
        name: "jpeg",
        lossy: true,
        version: &["-version"],
        extension: "jpg",
        encode: &["cjpeg", "-optimize", "{q}", "-outfile", "{out}", "{in}"],
        decode: &["djpeg", "-pnm", "-outfile", "{out}", "{in}"],
        scale: Scale::Quality(&["-quality"]),
        ..PICTURE
    },
    Peer {
        name: "webp-lossy",
        lossy: true,
        version: &["-version"],
        extension: "webp",
        encode: &[
            "cwebp",
            "-quiet",
            "-m",
            "6",
            "{q}",
            "{threads}",
            "-o",
            "{out}",
            "{in}",
        ],
        decode: &["dwebp", "-quiet", "{pnm}", "-o", "{out}", "{in}"],
        all: &["-mt"],
        scale: Scale::Quality(&["-q"]),
        ..PICTURE
    },
    Peer {
        name: "jxl-lossy",
        lossy: true,
        extension: "jxl",
        encode: &[
            "cjxl",
            "--quiet",
            "-e",
            "7",
            "{q}",
            "{threads}",
            "{in}",
            "{out}",
        ],
        decode: &["djxl", "--quiet", "{threads}", "{in}", "{out}"],
        one: &["--num_threads=0"],
        all: &["--num_threads=-1"],
        scale: Scale::Quality(&["-q"]),
        ..PICTURE
    },
    Peer {
        name: "avif",
        lossy: true,
        reads: Plain::Png,
        gives: Plain::Png,
        extension: "avif",
        encode: &[
            "avifenc",
            "-s",
            "6",
            "-y",
            "444",
            "--min",
            "0",
            "--max",
            "63",
            "-a",
            "end-usage=q",
            "{q}",
            "{threads}",
            "{in}",
            "{out}",
        ],
        decode: &["avifdec", "{threads}", "{in}", "{out}"],
        one: &["-j", "1"],
        all: &["-j", "all"],
        scale: Scale::Quantizer63(&["-a", "cq-level="]),
        ..PICTURE
    },
    Peer {
        name: "heic",
        lossy: true,
        version: &["--help"],
        reads: Plain::Png,
        gives: Plain::Png,
        extension: "heic",
        encode: &["heif-enc", "-p", "chroma=444", "{q}", "-o", "{out}", "{in}"],
        decode: &["heif-convert", "{in}", "{out}"],
        scale: Scale::Quality(&["-q"]),
        ..PICTURE
    },
    Peer {
        name: "flac",
        extension: "flac",
        encode: &[
            "flac",
            "-s",
            "-f",
            "--no-padding",
            "{q}",
            "-o",
            "{out}",
            "{in}",
        ],
        decode: &["flac", "-s", "-d", "-f", "-o", "{out}", "{in}"],
        scale: Scale::Fixed(&["-5", "-8"]),
        ..SOUND
    },
    Peer {
        name: "wavpack",
        extension: "wv",
        encode: &["wavpack", "-q", "-y", "{q}", "{in}", "-o", "{out}"],
        decode: &["wvunpack", "-q", "-y", "{in}", "-o", "{out}"],
        scale: Scale::Fixed(&["-h", "-hh -x3"]),
        ..SOUND
    },
    Peer {
        name: "monkeys",
        version: &[],
        extension: "ape",
        encode: &["mac", "{in}", "{out}", "{q}"],
        decode: &["mac", "{in}", "{out}", "-d"],
        scale: Scale::Fixed(&["-c2000", "-c4000"]),
        slow: &["-c5000"],
        ..SOUND
    },
    Peer {
        name: "sac",
        version: &[],
        extension: "sac",
        encode: &["sac", "--encode", "{q}", "{in}", "{out}"],
        decode: &["sac", "--decode", "{in}", "{out}"],
        slow: &["--normal"],
        scale: Scale::Fixed(&[]),
        ..SOUND
    },
    Peer {
        name: "opus",
        lossy: true,
        extension: "opus",
        encode: &["opusenc", "--quiet", "{q}", "{in}", "{out}"],
        decode: &[
            "opusdec",
            "--quiet",
            "--no-dither",
            "--rate",
            "{rate}",
            "{in}",
            "{out}",
        ],
        scale: Scale::Bitrate(&["--bitrate"]),
        ..SOUND
    },
    Peer {
        name: "vorbis",
        lossy: true,
        extension: "ogg",
        encode: &["oggenc", "--quiet", "{q}", "-o", "{out}", "{in}"],
        decode: &["oggdec", "--quiet", "-o", "{out}", "{in}"],
        scale: Scale::Fixed(&["-q -1", "-q 1", "-q 3", "-q 5", "-q 7"]),
        ..SOUND
    },
    // FFmpeg's own encoder; edit lists of MP4 say what to cut off.
    Peer {
        name: "aac",
        lossy: true,
        version: &["-version"],
        extension: "m4a",
        encode: &[
            "ffmpeg", "-y", "-v", "error", "-i", "{in}", "-c:a", "aac", "{q}", "{out}",
        ],
        decode: &["ffmpeg", "-y", "-v", "error", "-i", "{in}", "{out}"],
        scale: Scale::KiloBitrate(&["-b:a"]),
        ..SOUND
    },
    // Fraunhofer's encoder with spectral band replication.
    Peer {
        name: "he-aac",
        lossy: true,
        extension: "m4a",
        encode: &["fdkaac", "-S", "-p", "5", "{q}", "-o", "{out}", "{in}"],
        decode: &["ffmpeg", "-y", "-v", "error", "-i", "{in}", "{out}"],
        scale: Scale::KiloBitrate(&["-b"]),
        ..SOUND
    },
    Peer {
        name: "mp3",
        lossy: true,
        extension: "mp3",
        encode: &[
            "lame",
            "--silent",
            "--resample",
            "{khz}",
            "{q}",
            "{in}",
            "{out}",
        ],
        decode: &["lame", "--silent", "--decode", "{in}", "{out}"],
        scale: Scale::Fixed(&["-V 9", "-V 7", "-V 5", "-V 3", "-V 1"]),
        ..SOUND
    },
    Peer {
        name: "zstd-cli",
        extension: "zst",
        encode: &[
            "zstd",
            "-q",
            "-f",
            "{q}",
            "{threads}",
            "-o",
            "{out}",
            "{in}",
        ],
        decode: &["zstd", "-q", "-d", "-f", "-o", "{out}", "{in}"],
        one: &["-T1"],
        all: &["-T0"],
        scale: Scale::Fixed(&["-3", "-19"]),
        ..BASE
    },
    Peer {
        name: "xz",
        extension: "xz",
        encode: &["xz", ">", "-c", "{q}", "{threads}", "{in}"],
        decode: &["xz", ">", "-d", "-c", "{in}"],
        one: &["-T1"],
        all: &["-T0"],
        scale: Scale::Fixed(&["-9e"]),
        ..BASE
    },
    Peer {
        name: "brotli",
        extension: "br",
        encode: &["brotli", "-f", "{q}", "-o", "{out}", "{in}"],
        decode: &["brotli", "-d", "-f", "-o", "{out}", "{in}"],
        scale: Scale::Fixed(&["-q 11 -w 24"]),
        ..BASE
    },
    Peer {
        name: "bzip3",
        extension: "bz3",
        encode: &["bzip3", "-e", "-f", "{q}", "{in}", "{out}"],
        decode: &["bzip3", "-d", "-f", "{in}", "{out}"],
        scale: Scale::Fixed(&["-b 16"]),
        ..BASE
    },
    Peer {
        name: "7z-ppmd",
        version: &[],
        extension: "7z",
        encode: &["7z", "a", "-bd", "-y", "{q}", "{threads}", "{out}", "{in}"],
        decode: &["7z", ">", "e", "-so", "{in}"],
        one: &["-mmt=1"],
        scale: Scale::Fixed(&["-m0=ppmd:o=16:mem=256m"]),
        ..BASE
    },
    // Keeps paths as they are given, so it gets the name within its folder.
    Peer {
        name: "zpaq",
        version: &[],
        extension: "zpaq",
        encode: &["zpaq", "add", "{out}", "plain.bin", "{q}", "{threads}"],
        decode: &[
            "zpaq",
            "extract",
            "{in}",
            "plain.bin",
            "-to",
            "{out}",
            "-force",
            "{threads}",
        ],
        one: &["-threads", "1"],
        scale: Scale::Fixed(&["-method 4"]),
        slow: &["-method 5"],
        ..BASE
    },
];

impl Peer {
    /// The peer as a tool, with its settings.
    pub(crate) fn tool(&self, version: String, choice: &Choice<'_>) -> Tool {
        let words = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Tool {
            name: self.name.into(),
            version,
            ours: false,
            media: self.media,
            lossy: self.lossy,
            reads: self.reads,
            extension: self.extension.into(),
            encode: template(self.encode),
            decode: (!self.decode.is_empty()).then(|| template(self.decode)),
            gives: self.gives,
            one_thread: words(self.one),
            all_threads: words(self.all),
            deep: self.deep,
            settings: self.settings(choice),
        }
    }

    fn settings(&self, choice: &Choice<'_>) -> Vec<Setting> {
        let at = |flag: &[&str], value: String, quality: f64| {
            let mut args: Vec<String> = flag.iter().map(ToString::to_string).collect();
            match args.last_mut() {
                Some(last) if last.ends_with('=') => last.push_str(&value),
                _ => args.push(value),
            }
            Setting {
                label: args.join(" "),
                args,
                quality: Some(quality),
                curve: String::new(),
            }
        };
        let qualities = choice.qualities.iter().map(|&q| f64::from(q));
        match self.scale {
            Scale::Fixed(labels) => labels
                .iter()
                .chain(if choice.slow { self.slow } else { &[] })
                .map(|label| Setting {
                    label: label.to_string(),
                    args: label.split_whitespace().map(String::from).collect(),
                    quality: None,
                    curve: String::new(),
                })
                .collect(),
            Scale::Quality(flag) => qualities.map(|q| at(flag, q.to_string(), q)).collect(),
            Scale::Quantizer63(flag) => qualities
                .map(|q| at(flag, ((100.0 - q) * 0.63).round().to_string(), q))
                .collect(),
            Scale::Bitrate(flag) => {
                let rates = choice.bitrates.iter();
                rates
                    .map(|&rate| at(flag, rate.to_string(), f64::from(rate)))
                    .collect()
            }
            Scale::KiloBitrate(flag) => {
                let rates = choice.bitrates.iter();
                rates
                    .map(|&rate| at(flag, format!("{rate}k"), f64::from(rate)))
                    .collect()
            }
        }
    }
}

fn template(words: &[&str]) -> Template {
    let to_stdout = words.get(1) == Some(&">");
    let args = words.iter().skip(if to_stdout { 2 } else { 1 });
    Template {
        program: words[0].to_string(),
        args: args.map(ToString::to_string).collect(),
        to_stdout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_complete() {
        for peer in PEERS {
            for line in [peer.encode, peer.decode] {
                let prints = line.get(1) == Some(&">");
                let has_in = line.contains(&"{in}") || line.contains(&"plain.bin");
                assert!(line.is_empty() || has_in, "{}", peer.name);
                let has_out = line.contains(&"{out}");
                assert!(line.is_empty() || has_out != prints, "{}", peer.name);
            }
            let empty = matches!(peer.scale, Scale::Fixed([""]));
            assert!(empty || peer.encode.contains(&"{q}"), "{}", peer.name);
            let threaded = !peer.one.is_empty() || !peer.all.is_empty();
            assert_eq!(
                threaded,
                peer.encode.contains(&"{threads}"),
                "{}",
                peer.name
            );
        }
        let mut names: Vec<&str> = PEERS.iter().map(|peer| peer.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PEERS.len());
    }
}

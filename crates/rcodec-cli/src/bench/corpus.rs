//! The files of a run: found, told apart by content, and brought into the plain
//! forms that every tool reads.

use crate::bench::tool::Plain;
use rcodec::{
    AudioHeader, Budget, ColorType, ImageHeader, ImageStrip, Limits, Media, MediaHeader, MediaKind,
    Metadata, SampleFormat, Samples,
};
use rcodec_io::{OutputFormat, ReadOptions, Sink, SourceKind};
use rcodec_metrics::Rgb8;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use walkdir::WalkDir;
use xxhash_rust::xxh3::Xxh3;

/// A file that takes part.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) path: PathBuf,
    /// Its path within the folder it was found in.
    pub(crate) name: String,
    /// The folder part of `name`: files of one folder are one set.
    pub(crate) set: String,
    pub(crate) media: MediaHeader,
    /// Hash of the file.
    pub(crate) hash: String,
    /// Bytes of the file as found (unpacked, for compressed text).
    pub(crate) source_bytes: u64,
    /// Pixels, sample frames, or bytes.
    pub(crate) units: u64,
}

impl Item {
    pub(crate) fn kind(&self) -> MediaKind {
        self.media.kind()
    }

    /// Seconds of sound.
    pub(crate) fn seconds(&self) -> Option<f64> {
        match &self.media {
            MediaHeader::Audio(audio) => Some(self.units as f64 / f64::from(audio.sample_rate)),
            _ => None,
        }
    }

    pub(crate) fn sample_rate(&self) -> u32 {
        match &self.media {
            MediaHeader::Audio(audio) => audio.sample_rate,
            _ => 0,
        }
    }
}

/// What was found: the files, and why others are left out.
#[derive(Debug, Default)]
pub(crate) struct Corpus {
    pub(crate) items: Vec<Item>,
    pub(crate) left_out: Vec<(String, String)>,
}

/// Looks through folders and files.
pub(crate) fn find(paths: &[PathBuf], pixels: bool, skip: &Path) -> Corpus {
    let mut corpus = Corpus::default();
    for path in paths {
        let several = paths.len() > 1;
        for entry in WalkDir::new(path).sort_by_file_name() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let at = error.path().unwrap_or(path).display().to_string();
                    corpus.left_out.push((at, error.to_string()));
                    continue;
                }
            };
            if !entry.file_type().is_file() || entry.path().starts_with(skip) {
                continue;
            }
            let name = name_within(path, entry.path(), several);
            match examine(entry.path(), name.clone(), pixels) {
                Ok(item) => corpus.items.push(item),
                Err(why) => corpus.left_out.push((name, why)),
            }
        }
    }
    corpus
}

/// The path within `root`, behind the root's own name if there are several.
fn name_within(root: &Path, path: &Path, several: bool) -> String {
    let base = if several || root == path {
        root.parent().unwrap_or(root)
    } else {
        root
    };
    let name = path.strip_prefix(base).unwrap_or(path);
    name.display().to_string()
}

fn examine(path: &Path, name: String, pixels: bool) -> Result<Item, String> {
    let bytes = contents(path)?;
    if bytes.is_empty() {
        return Err("empty".into());
    }
    let set = Path::new(&name).parent().map(|p| p.display().to_string());
    let kind = rcodec_io::probe(&bytes[..bytes.len().min(rcodec_io::PROBE_BYTES)]);
    match kind {
        SourceKind::Jpeg | SourceKind::WebpLossy if !pixels => {
            return Err("lossy already (--pixels takes it as a picture)".into());
        }
        SourceKind::Mp3 | SourceKind::Ogg | SourceKind::Mp4 | SourceKind::Aac => {
            return Err("lossy already".into());
        }
        SourceKind::Apng | SourceKind::WebpAnimated => return Err("an animation".into()),
        SourceKind::Rcd | SourceKind::Compressed => return Err("compressed already".into()),
        _ => {}
    }
    let hash = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&bytes));
    let source_bytes = bytes.len() as u64;
    let (media, units) = measure(bytes, pixels)?;
    Ok(Item {
        path: path.to_path_buf(),
        set: set.filter(|s| !s.is_empty()).unwrap_or_else(|| ".".into()),
        name,
        media,
        hash,
        source_bytes,
        units,
    })
}

/// The file's bytes; of `.xz`, `.gz` and `.zst` files, what they hold, where
/// the program that unpacks them is installed.
fn contents(path: &Path) -> Result<Vec<u8>, String> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    let program = match extension {
        "xz" => "xz",
        "gz" => "gzip",
        "zst" => "zstd",
        _ => return fs::read(path).map_err(|e| e.to_string()),
    };
    let output = Command::new(program)
        .arg("-dc")
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!("{program} cannot unpack it"))
    }
}

fn measure(bytes: Vec<u8>, pixels: bool) -> Result<(MediaHeader, u64), String> {
    let length = bytes.len() as u64;
    let loaded = load_bytes(bytes, pixels)?;
    let units = match (&loaded.header, &loaded.samples) {
        (MediaHeader::Image(image), _) => u64::from(image.width) * u64::from(image.height),
        (MediaHeader::Audio(audio), Loaded::Audio(samples)) => {
            samples.len() as u64 / u64::from(audio.channels)
        }
        _ => length,
    };
    if units == 0 {
        return Err("no samples".into());
    }
    Ok((loaded.header, units))
}

/// All samples of a file.
#[derive(Debug)]
pub(crate) enum Loaded {
    Image(Samples),
    Audio(Vec<i32>),
    Bytes(Vec<u8>),
}

/// A file in memory.
#[derive(Debug)]
pub(crate) struct MediaFile {
    pub(crate) header: MediaHeader,
    pub(crate) samples: Loaded,
}

/// Reads a file that a decoder wrote, or that was found.
pub(crate) fn load(path: &Path) -> Result<MediaFile, String> {
    load_bytes(contents(path)?, true)
}

/// As [`load`], for what a tool for bytes gave back: never looked into.
pub(crate) fn load_as(path: &Path, kind: MediaKind) -> Result<MediaFile, String> {
    if kind == MediaKind::Bytes {
        let bytes = fs::read(path).map_err(|e| e.to_string())?;
        return Ok(MediaFile {
            header: MediaHeader::Bytes,
            samples: Loaded::Bytes(bytes),
        });
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|e| e.to_string())?;
    load_bytes(bytes, true)
}

fn load_bytes(bytes: Vec<u8>, pixels: bool) -> Result<MediaFile, String> {
    let options = ReadOptions {
        pixels,
        transcode: true,
        ..ReadOptions::default()
    };
    let budget = Budget::new(Limits::default());
    let reader = BufReader::new(Cursor::new(bytes));
    let mut source =
        rcodec_io::open(Box::new(reader), &options, &budget).map_err(|e| e.to_string())?;
    let header = source.header().clone();
    let mut samples = match &header {
        MediaHeader::Image(image) => Loaded::Image(Samples::empty_for(image.bits)),
        MediaHeader::Audio(_) => Loaded::Audio(Vec::new()),
        _ => Loaded::Bytes(Vec::new()),
    };
    while let Some(unit) = source.next_unit().map_err(|e| e.to_string())? {
        match (&mut samples, unit) {
            (
                Loaded::Image(Samples::U8(all)),
                Media::Image(ImageStrip {
                    samples: Samples::U8(strip),
                    ..
                }),
            ) => {
                all.extend(strip);
            }
            (
                Loaded::Image(Samples::U16(all)),
                Media::Image(ImageStrip {
                    samples: Samples::U16(strip),
                    ..
                }),
            ) => {
                all.extend(strip);
            }
            (Loaded::Audio(all), Media::Audio(block)) => all.extend(block.samples),
            (Loaded::Bytes(all), Media::Bytes(piece)) => all.extend(piece),
            _ => return Err("units of different kinds".into()),
        }
    }
    Ok(MediaFile { header, samples })
}

impl MediaFile {
    /// A hash of what the media looks or sounds like, whatever the file format:
    /// pixels as RGBA of 16 bits, sound as samples, bytes as they are.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = Xxh3::new();
        match (&self.header, &self.samples) {
            (MediaHeader::Image(image), Loaded::Image(_)) => {
                hasher.update(&image.width.to_le_bytes());
                hasher.update(&image.height.to_le_bytes());
                self.for_each_pixel(image, |rgba| {
                    for sample in rgba {
                        hasher.update(&sample.to_le_bytes());
                    }
                });
            }
            (MediaHeader::Audio(audio), Loaded::Audio(samples)) => {
                hasher.update(&audio.sample_rate.to_le_bytes());
                hasher.update(&audio.channels.to_le_bytes());
                hasher.update(&[audio.format.bits()]);
                let chunks = samples.chunks(4096);
                for chunk in chunks {
                    let bytes: Vec<u8> = chunk.iter().flat_map(|s| s.to_le_bytes()).collect();
                    hasher.update(&bytes);
                }
            }
            (_, Loaded::Bytes(bytes)) => hasher.update(bytes),
            _ => {}
        }
        hasher.digest()
    }

    /// The pixels as RGBA of 16 bits.
    fn for_each_pixel(&self, image: &ImageHeader, mut take: impl FnMut([u16; 4])) {
        let Loaded::Image(samples) = &self.samples else {
            return;
        };
        let max = (1u32 << image.bits) - 1;
        let at = |i: usize| match samples {
            Samples::U8(v) => u32::from(v[i]),
            Samples::U16(v) => u32::from(v[i]),
        };
        let scaled = |i: usize| (at(i) * 0xffff / max) as u16;
        let channels = image.color.channels();
        for i in (0..samples.len()).step_by(channels) {
            take(match image.color {
                ColorType::Gray => [scaled(i), scaled(i), scaled(i), 0xffff],
                ColorType::GrayAlpha => [scaled(i), scaled(i), scaled(i), scaled(i + 1)],
                ColorType::Rgb => [scaled(i), scaled(i + 1), scaled(i + 2), 0xffff],
                ColorType::Rgba => [scaled(i), scaled(i + 1), scaled(i + 2), scaled(i + 3)],
                ColorType::Indexed => {
                    let entry = image.palette.get(at(i) as usize);
                    entry.map_or([0, 0, 0, 0xffff], |e| e.map(|s| u16::from(s) * 257))
                }
            });
        }
    }

    /// The picture in 8-bit RGB; alpha is not looked at.
    pub(crate) fn rgb8(&self) -> Result<Rgb8, String> {
        let MediaHeader::Image(image) = &self.header else {
            return Err("not a picture".into());
        };
        let mut rgb = Vec::new();
        self.for_each_pixel(image, |[r, g, b, _]| {
            rgb.extend([r, g, b].map(|s| (u32::from(s) * 255 / 0xffff) as u8));
        });
        Rgb8::new(image.width as usize, image.height as usize, rgb).map_err(|e| e.to_string())
    }

    /// The channels of sound, full scale 1.
    pub(crate) fn channels(&self) -> Result<Vec<Vec<f32>>, String> {
        let (MediaHeader::Audio(audio), Loaded::Audio(samples)) = (&self.header, &self.samples)
        else {
            return Err("not sound".into());
        };
        let SampleFormat::Int { bits } = audio.format else {
            return Err("not integers".into());
        };
        let scale = 1.0 / (1u64 << (bits - 1)) as f32;
        let channels = usize::from(audio.channels);
        Ok((0..channels)
            .map(|c| {
                let channel = samples.iter().skip(c).step_by(channels);
                channel.map(|&s| s as f32 * scale).collect()
            })
            .collect())
    }

    /// Writes the file in a plain form below `folder`; gives its path.
    pub(crate) fn write_plain(
        &self,
        plain: Plain,
        lossy: bool,
        folder: &Path,
    ) -> Result<PathBuf, String> {
        let path = folder.join(format!("plain.{}", self.plain_extension(plain, lossy)));
        if path.exists() {
            return Ok(path);
        }
        if let Loaded::Bytes(bytes) = &self.samples {
            fs::write(&path, bytes).map_err(|e| e.to_string())?;
            return Ok(path);
        }
        if let (true, MediaHeader::Image(_)) = (lossy, &self.header) {
            write_rgb(&path, &self.rgb8()?)?;
            return Ok(path);
        }
        let unit = match (&self.header, &self.samples) {
            (MediaHeader::Image(image), Loaded::Image(samples)) => Media::Image(ImageStrip {
                rows: image.height,
                samples: samples.clone(),
            }),
            (_, Loaded::Audio(samples)) => Media::Audio(rcodec::AudioBlock {
                samples: samples.clone(),
            }),
            _ => return Err("not media".into()),
        };
        write_media(&path, &self.header, unit)?;
        Ok(path)
    }

    /// The extension of a plain form of this media; PNM only for what it can
    /// hold, and PNG for palettes, which are worth keeping.
    pub(crate) fn plain_extension(&self, plain: Plain, lossy: bool) -> &'static str {
        match (&self.header, plain) {
            (MediaHeader::Image(image), Plain::Pnm) => match image.color {
                _ if lossy => "ppm",
                ColorType::Rgb if matches!(image.bits, 8 | 16) => "ppm",
                ColorType::Gray if matches!(image.bits, 8 | 16) => "pgm",
                _ => "png",
            },
            (MediaHeader::Image(_), _) if lossy => "rgb.png",
            (MediaHeader::Image(_), _) => "png",
            (MediaHeader::Audio(_), _) => "wav",
            _ => "bin",
        }
    }
}

/// Writes an RGB picture as PPM or PNG, by extension.
pub(crate) fn write_rgb(path: &Path, picture: &Rgb8) -> Result<(), String> {
    let header = ImageHeader {
        width: picture.width() as u32,
        height: picture.height() as u32,
        color: ColorType::Rgb,
        bits: 8,
        palette: Vec::new(),
    };
    let unit = Media::Image(ImageStrip {
        rows: header.height,
        samples: Samples::U8(picture.samples().to_vec()),
    });
    write_media(path, &MediaHeader::Image(header), unit)
}

/// Writes sound of 16 bits.
pub(crate) fn write_wav(
    path: &Path,
    header: &AudioHeader,
    samples: Vec<i32>,
) -> Result<(), String> {
    let unit = Media::Audio(rcodec::AudioBlock { samples });
    write_media(path, &MediaHeader::Audio(header.clone()), unit)
}

fn write_media(path: &Path, header: &MediaHeader, unit: Media) -> Result<(), String> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    let format = OutputFormat::from_extension(extension).ok_or("no such format")?;
    let write = || -> rcodec::Result<()> {
        let file = BufWriter::new(File::create(path)?);
        let budget = Budget::new(Limits::default());
        let sink = Sink::File(Box::new(file));
        let metadata = Metadata::default();
        let mut writer = rcodec_io::create(format, header, &metadata, sink, &budget)?;
        writer.write(unit)?;
        writer.finish(&metadata)
    };
    write().map_err(|e| e.to_string())
}

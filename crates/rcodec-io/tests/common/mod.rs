//! Reading and restoring files in memory.
#![allow(dead_code, unreachable_pub)] // each test uses some of it

use rcodec_core::{Budget, Limits, Media, MediaHeader, Metadata, Samples};
use rcodec_io::{OutputFormat, ReadOptions, Sink, Source, create, open, restore_format};
use std::io::{BufReader, Cursor, Read};

/// Everything a source gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub header: MediaHeader,
    pub metadata: Metadata,
    pub units: Vec<Media>,
    pub tail: Metadata,
    pub note: Option<String>,
}

impl Content {
    pub fn is_bytes(&self) -> bool {
        self.header == MediaHeader::Bytes
    }

    /// All image samples, widened.
    pub fn pixels(&self) -> Vec<u16> {
        let mut pixels = Vec::new();
        for unit in &self.units {
            let Media::Image(strip) = unit else {
                panic!("not a strip");
            };
            match &strip.samples {
                Samples::U8(samples) => pixels.extend(samples.iter().map(|&s| u16::from(s))),
                Samples::U16(samples) => pixels.extend_from_slice(samples),
            }
        }
        pixels
    }

    /// All sound samples.
    pub fn sound(&self) -> Vec<i32> {
        let mut samples = Vec::new();
        for unit in &self.units {
            let Media::Audio(block) = unit else {
                panic!("not a block");
            };
            samples.extend_from_slice(&block.samples);
        }
        samples
    }
}

pub fn budget() -> Budget {
    Budget::new(Limits {
        max_alloc_bytes: 256 << 20,
        ..Limits::default()
    })
}

pub fn drain(mut source: Source) -> Content {
    let mut units = Vec::new();
    while let Some(unit) = source.next_unit().unwrap() {
        units.push(unit);
    }
    Content {
        header: source.header().clone(),
        metadata: source.metadata().clone(),
        units,
        tail: source.tail_metadata().clone(),
        note: source.note().map(str::to_owned),
    }
}

pub fn read_with(file: &[u8], options: &ReadOptions) -> Content {
    let budget = budget();
    let source = open(Box::new(Cursor::new(file.to_vec())), options, &budget).unwrap();
    let content = drain(source);
    assert_eq!(budget.used_bytes(), 0, "a reservation was left");
    content
}

pub fn read(file: &[u8]) -> Content {
    read_with(file, &ReadOptions::default())
}

/// Gives one byte at a time.
struct OneByte(Cursor<Vec<u8>>);

impl Read for OneByte {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = buffer.len().min(1);
        self.0.read(&mut buffer[..count])
    }
}

/// Like [`read`], through a reader that gives one byte at a time.
pub fn read_slowly(file: &[u8]) -> Content {
    let reader = BufReader::with_capacity(1, OneByte(Cursor::new(file.to_vec())));
    drain(open(Box::new(reader), &ReadOptions::default(), &budget()).unwrap())
}

pub fn write(content: &Content, format: OutputFormat) -> rcodec_core::Result<Vec<u8>> {
    let mut file = Vec::new();
    let sink = Sink::Stream(Box::new(&mut file));
    let mut writer = create(format, &content.header, &content.metadata, sink, &budget())?;
    for unit in &content.units {
        writer.write(unit.clone())?;
    }
    writer.finish(&content.tail)?;
    Ok(file)
}

/// Like [`write`], to a file in which the writer may seek.
pub fn write_seekable(content: &Content, format: OutputFormat) -> rcodec_core::Result<Vec<u8>> {
    let mut file = Cursor::new(Vec::new());
    let sink = Sink::File(Box::new(&mut file));
    let mut writer = create(format, &content.header, &content.metadata, sink, &budget())?;
    for unit in &content.units {
        writer.write(unit.clone())?;
    }
    writer.finish(&content.tail)?;
    Ok(file.into_inner())
}

/// Writes the content in its own format.
pub fn restore(content: &Content) -> Vec<u8> {
    let format = restore_format(&content.header, &content.metadata);
    write(content, format).unwrap()
}

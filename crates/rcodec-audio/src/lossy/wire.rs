//! Packets one after the other in a pipe or a file: numbered, checked, and
//! flushed one by one.

use super::packet::{PacketDecoder, PacketEncoder, PacketOptions};
use super::samples::check_header;
use rcodec_core::{AudioHeader, Cursor, Error, Result, SampleFormat, VarintParser, write_varint};
use std::io::{self, Read, Write};

/// The first bytes: magic number and version.
const MAGIC: [u8; 4] = [0xf7, 0x72, 0x73, 1];
/// The longest header and the longest packet.
const MAX_HEADER: u64 = 256;
const MAX_PACKET: u64 = 1 << 20;
/// Damaged packets in a row after which nothing more is believed.
const MAX_DAMAGED: u32 = 8;
/// Lost packets that are concealed at once; more are a new beginning.
const MAX_CONCEALED: u16 = 1000;

/// Encodes sound to packets in a stream.
pub struct PacketWriter<W: Write> {
    encoder: PacketEncoder,
    channels: u64,
    out: W,
    number: u16,
    samples: u64,
}

impl<W: Write> PacketWriter<W> {
    /// Begins a stream, and writes its header.
    ///
    /// # Errors
    /// As [`PacketEncoder::new`], and [`Error::Io`].
    pub fn new(header: &AudioHeader, options: PacketOptions, mut out: W) -> Result<Self> {
        let encoder = PacketEncoder::new(header, options)?;
        let mut fields = Vec::new();
        write_varint(&mut fields, header.sample_rate.into());
        write_varint(&mut fields, header.channels.into());
        fields.push(match header.format {
            SampleFormat::Int { bits } => bits,
            SampleFormat::Float32 => 0xa0,
        });
        fields.extend(encoder.params());
        let mut bytes = MAGIC.to_vec();
        write_varint(&mut bytes, fields.len() as u64);
        bytes.extend(fields);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        out.write_all(&bytes)?;
        out.flush()?;
        Ok(PacketWriter {
            encoder,
            channels: header.channels.into(),
            out,
            number: 0,
            samples: 0,
        })
    }

    /// Takes interleaved samples, and writes and flushes the packets that are
    /// complete.
    ///
    /// # Errors
    /// As [`PacketEncoder::push`], and [`Error::Io`].
    pub fn push(&mut self, samples: &[i32]) -> Result<()> {
        self.samples += samples.len() as u64 / self.channels;
        for packet in self.encoder.push(samples)? {
            write_packet(&mut self.out, &mut self.number, &packet)?;
        }
        Ok(())
    }

    /// Writes what is left and the end; gives back the output.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self) -> Result<W> {
        for packet in self.encoder.finish()? {
            write_packet(&mut self.out, &mut self.number, &packet)?;
        }
        let mut end = vec![0];
        write_varint(&mut end, self.samples);
        end.extend(crc32fast::hash(&end).to_le_bytes());
        self.out.write_all(&end)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

fn write_packet(out: &mut impl Write, number: &mut u16, packet: &[u8]) -> Result<()> {
    let mut bytes = Vec::new();
    write_varint(&mut bytes, packet.len() as u64);
    bytes.extend(number.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes);
    hasher.update(packet);
    bytes.extend((hasher.finalize() as u16).to_le_bytes());
    bytes.extend(packet);
    *number = number.wrapping_add(1);
    out.write_all(&bytes)?;
    out.flush()?;
    Ok(())
}

/// Decodes a stream of packets; conceals those that are lost.
pub struct PacketReader<R: Read> {
    src: R,
    at: u64,
    header: AudioHeader,
    decoder: PacketDecoder,
    expected: u16,
    skip: usize,
    /// Samples of each channel given so far.
    given: u64,
    lost: u64,
    damaged: u32,
    ended: bool,
}

impl<R: Read> PacketReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Truncated`], [`Error::Checksum`],
    /// [`Error::Unsupported`] and [`Error::Io`].
    pub fn new(mut src: R) -> Result<Self> {
        let mut at = 0;
        let mut bytes = take(&mut src, &mut at, 4)?;
        if bytes[..3] != MAGIC[..3] {
            return Err(Error::malformed(0, "not a stream of packets"));
        }
        if bytes[3] != MAGIC[3] {
            return Err(Error::unsupported("a later version of streams of packets"));
        }
        let length = take_varint(&mut src, &mut at, &mut bytes)?;
        if length > MAX_HEADER {
            return Err(Error::malformed(4, "length of the header"));
        }
        let begin = bytes.len();
        bytes.extend(take(&mut src, &mut at, length as usize)?);
        let check = take(&mut src, &mut at, 4)?;
        if check != crc32fast::hash(&bytes).to_le_bytes() {
            return Err(Error::Checksum { block: 1, at: 0 });
        }
        let mut reader = Cursor::new(&bytes[begin..], 0);
        let header = AudioHeader {
            sample_rate: reader.varint_in(1..=u32::MAX.into(), "frames per second")? as u32,
            channels: reader.varint_in(1..=u16::MAX.into(), "channels")? as u16,
            format: match reader.byte()? {
                0xa0 => SampleFormat::Float32,
                bits => SampleFormat::Int { bits },
            },
        };
        check_header(&header)?;
        let decoder = PacketDecoder::new(&header, reader.rest())?;
        Ok(PacketReader {
            src,
            at,
            skip: decoder.frame_samples() / 2,
            decoder,
            header,
            expected: 0,
            given: 0,
            lost: 0,
            damaged: 0,
            ended: false,
        })
    }

    /// What the sound is.
    pub fn header(&self) -> &AudioHeader {
        &self.header
    }

    /// Packets that were lost or damaged so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The interleaved samples of the next packet, with those of lost ones
    /// before it, or `None` at the end. `arrives` says of a packet that came
    /// whether to take it: for simulations.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Checksum`] after many damaged packets,
    /// and [`Error::Io`].
    pub fn next_samples(&mut self, arrives: impl FnOnce() -> bool) -> Result<Option<Vec<i32>>> {
        if self.ended {
            return Ok(None);
        }
        let at = self.at;
        let mut head = Vec::new();
        let length = take_varint(&mut self.src, &mut self.at, &mut head)?;
        if length == 0 {
            return self.end(head, at);
        }
        if length > MAX_PACKET {
            return Err(Error::malformed(at, "length of a packet"));
        }
        head.extend(take(&mut self.src, &mut self.at, 2)?);
        let number = u16::from_le_bytes([head[head.len() - 2], head[head.len() - 1]]);
        let check = take(&mut self.src, &mut self.at, 2)?;
        let packet = take(&mut self.src, &mut self.at, length as usize)?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&head);
        hasher.update(&packet);
        if (hasher.finalize() as u16).to_le_bytes()[..] != check[..] {
            self.damaged += 1;
            if self.damaged > MAX_DAMAGED {
                return Err(Error::Checksum {
                    block: u64::from(self.expected) + 1,
                    at,
                });
            }
            return Ok(Some(self.conceal(1)));
        }
        self.damaged = 0;
        let missing = number.wrapping_sub(self.expected);
        let mut samples = Vec::new();
        if missing <= MAX_CONCEALED {
            samples = self.conceal(missing);
        }
        self.expected = number.wrapping_add(1);
        if !arrives() {
            self.expected = number;
            samples.extend(self.conceal(1));
            return Ok(Some(samples));
        }
        let decoded = match self.decoder.decode(&packet) {
            Ok(decoded) => decoded,
            Err(error) if error.is_bad_input() => {
                self.lost += 1;
                self.decoder.conceal()
            }
            Err(error) => return Err(error),
        };
        let decoded = self.trimmed(decoded);
        samples.extend(decoded);
        Ok(Some(samples))
    }

    fn conceal(&mut self, packets: u16) -> Vec<i32> {
        self.lost += u64::from(packets);
        self.expected = self.expected.wrapping_add(packets);
        let mut samples = Vec::new();
        for _ in 0..packets {
            let concealed = self.decoder.conceal();
            samples.extend(self.trimmed(concealed));
        }
        samples
    }

    /// Leaves out what stands before the first sample.
    fn trimmed(&mut self, mut samples: Vec<i32>) -> Vec<i32> {
        let channels = usize::from(self.header.channels);
        let skipped = self.skip.min(samples.len() / channels);
        self.skip -= skipped;
        samples.drain(..skipped * channels);
        self.given += (samples.len() / channels) as u64;
        samples
    }

    /// Reads the end. How many samples of the last packets count is known only
    /// now: a writer of files asks [`surplus`](Self::surplus).
    fn end(&mut self, mut head: Vec<u8>, at: u64) -> Result<Option<Vec<i32>>> {
        let samples = take_varint(&mut self.src, &mut self.at, &mut head)?;
        let check = take(&mut self.src, &mut self.at, 4)?;
        if check != crc32fast::hash(&head).to_le_bytes() {
            return Err(Error::Checksum { block: 0, at });
        }
        self.ended = true;
        let missing = samples.saturating_sub(self.given);
        let frame = self.decoder.frame_samples() as u64;
        let packets = missing.div_ceil(frame).min(MAX_CONCEALED.into()) as u16;
        let concealed = self.conceal(packets);
        self.given = self.given.saturating_sub(samples);
        Ok((!concealed.is_empty()).then_some(concealed))
    }

    /// After the end: samples of each channel that were given too many, to make
    /// whole packets.
    pub fn surplus(&self) -> u64 {
        if self.ended { self.given } else { 0 }
    }
}

fn take(src: &mut impl Read, at: &mut u64, count: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = src.by_ref().take(count as u64).read_to_end(&mut bytes)?;
    *at += read as u64;
    if read < count {
        return Err(Error::Truncated { at: *at });
    }
    Ok(bytes)
}

/// Reads a varint; its bytes are appended to `bytes`.
fn take_varint(src: &mut impl Read, at: &mut u64, bytes: &mut Vec<u8>) -> Result<u64> {
    let mut parser = VarintParser::default();
    loop {
        let mut byte = [0];
        match src.read_exact(&mut byte) {
            Ok(()) => *at += 1,
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Error::Truncated { at: *at });
            }
            Err(e) => return Err(e.into()),
        }
        bytes.push(byte[0]);
        match parser.push(byte[0]) {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(what) => return Err(Error::malformed(*at - 1, what)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcodec_core::Rate;

    fn written(samples: &[i32], options: PacketOptions) -> Vec<u8> {
        let header = AudioHeader {
            sample_rate: 16_000,
            channels: 1,
            format: SampleFormat::Int { bits: 16 },
        };
        let mut writer = PacketWriter::new(&header, options, Vec::new()).unwrap();
        for part in samples.chunks(100) {
            writer.push(part).unwrap();
        }
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8], lose: impl Fn(usize) -> bool) -> Result<(Vec<i32>, u64)> {
        let mut reader = PacketReader::new(bytes)?;
        let mut out = Vec::new();
        let mut i = 0;
        while let Some(samples) = reader.next_samples(|| !lose(i))? {
            out.extend(samples);
            i += 1;
        }
        out.truncate(out.len() - reader.surplus() as usize);
        Ok((out, reader.lost()))
    }

    fn tone(count: i32) -> Vec<i32> {
        let sine = |i: i32| (f64::from(i) * 0.2).sin() * 8000.0;
        (0..count).map(|i| sine(i) as i32).collect()
    }

    #[test]
    fn streams_keep_their_length_with_and_without_losses() {
        for count in [0, 1, 99, 16_000] {
            let samples = tone(count);
            for key_interval in [1, 16] {
                let options = PacketOptions {
                    key_interval,
                    rate: Rate::TargetBitrate(32_000),
                    ..PacketOptions::default()
                };
                let bytes = written(&samples, options);
                let (whole, lost) = read(&bytes, |_| false).unwrap();
                assert_eq!((whole.len(), lost), (samples.len(), 0));
                let (some, lost) = read(&bytes, |i| i % 10 == 5).unwrap();
                assert_eq!(some.len(), samples.len());
                assert_eq!(lost > 0, count == 16_000);
            }
        }
    }

    #[test]
    fn damage_is_an_error_or_a_loss() {
        let bytes = written(&tone(8000), PacketOptions::default());
        let clean = read(&bytes, |_| false).unwrap().0;
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            if let Ok((samples, lost)) = read(&damaged, |_| false) {
                assert!(lost > 0 && samples.len() == clean.len(), "byte {at}");
            }
            assert!(read(&bytes[..at], |_| false).is_err());
        }
    }
}

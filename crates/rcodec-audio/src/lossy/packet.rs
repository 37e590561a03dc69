//! Packets: for live use, one frame at a time.

use super::control::RateControl;
use super::frame::MAX_QUANTISER;
use super::params::Params;
use super::samples::{check_header, from_internal, to_internal};
use super::stream::{FrameDecoder, FrameEncoder};
use super::tuning::Tuning;
use rcodec_core::{AudioHeader, Error, Rate, Result, SampleFormat};
use rcodec_entropy::{BitCoder, RangeBitDecoder, RangeBitEncoder};

/// Milliseconds of a frame, about, of the profile `stream`.
const STREAM_MILLISECONDS: u32 = 12;
/// How often a constant packet is coded, if it fits by then.
const TRIALS: u32 = 8;
/// By how much the next search begins elsewhere, at most.
const MAX_CHANGE: i32 = 26;

/// How sound is cut into packets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PacketOptions {
    /// Quality or bit rate.
    pub rate: Rate,
    /// Every so many packets one decodes without those before it (1 or more).
    /// With 1, losing a packet harms no other; larger numbers take fewer bits,
    /// and a loss lasts until the next such packet.
    pub key_interval: u32,
    /// Samples of a frame, about, in milliseconds (5 to 40).
    pub frame_milliseconds: u32,
    /// No packet is larger than its share of the bit rate, unless the energies
    /// of its bands alone are (below some 20 kbit/s a channel, of packets that
    /// decode by themselves): for links of a constant rate. Takes a few times as
    /// long, and more bits for the same quality.
    pub constant: bool,
}

impl Default for PacketOptions {
    /// Quality 60, frames of 12 ms, independent every 64 packets.
    fn default() -> Self {
        PacketOptions {
            rate: Rate::Quality(60.0),
            key_interval: 64,
            frame_milliseconds: STREAM_MILLISECONDS,
            constant: false,
        }
    }
}

/// Makes packets of samples.
///
/// A packet is complete when the frame behind it is known: the delay of encoder
/// and decoder together is two and a half frames, [`delay`](Self::delay).
#[derive(Debug)]
pub struct PacketEncoder {
    frames: FrameEncoder,
    control: RateControl,
    header: AudioHeader,
    key_interval: u32,
    until_key: u32,
    /// The most bytes of a packet.
    limit: Option<usize>,
    taken: u64,
    given: u64,
}

impl PacketEncoder {
    /// # Errors
    /// [`Error::Parameter`] and [`Error::Unsupported`] for what cannot be
    /// encoded.
    pub fn new(header: &AudioHeader, options: PacketOptions) -> Result<Self> {
        check_header(header)?;
        if options.key_interval == 0 || !(5..=40).contains(&options.frame_milliseconds) {
            return Err(Error::parameter("key interval or length of frames"));
        }
        let params = Params::new(header.sample_rate, options.frame_milliseconds);
        let channels = usize::from(header.channels);
        let seconds = params.frame as f64 / f64::from(header.sample_rate);
        let limit = match (options.constant, options.rate) {
            (false, _) => None,
            (true, Rate::TargetBitrate(rate)) => Some((f64::from(rate) * seconds / 8.0) as usize),
            (true, _) => return Err(Error::parameter("constant packets take a bit rate")),
        };
        Ok(PacketEncoder {
            limit,
            control: RateControl::new(options.rate, seconds, channels)?,
            frames: FrameEncoder::new(params, Tuning::default(), header.sample_rate, channels),
            header: header.clone(),
            key_interval: options.key_interval,
            until_key: 0,
            taken: 0,
            given: 0,
        })
    }

    /// What a decoder has to know besides the header.
    pub fn params(&self) -> Vec<u8> {
        self.frames.params.to_bytes()
    }

    /// Samples of each channel in a packet.
    pub fn frame_samples(&self) -> usize {
        self.frames.params.frame
    }

    /// Samples from when one goes in to when it can come out.
    pub fn delay(&self) -> usize {
        self.frames.params.frame * 5 / 2
    }

    /// Samples at the beginning of what decodes that were not in the input.
    pub fn skip(&self) -> usize {
        self.frames.params.frame / 2
    }

    /// Takes interleaved samples; gives the packets that are complete.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a part of a frame of samples.
    pub fn push(&mut self, samples: &[i32]) -> Result<Vec<Vec<u8>>> {
        let channels = usize::from(self.header.channels);
        if !samples.len().is_multiple_of(channels) {
            return Err(Error::parameter("sound that ends within a frame"));
        }
        let format = self.header.format;
        let samples: Vec<i64> = samples.iter().map(|&s| to_internal(s, format)).collect();
        self.taken += (samples.len() / channels) as u64;
        self.frames.push(&samples);
        let mut packets = Vec::new();
        while self.frames.available() >= 2 * self.frames.params.frame {
            packets.push(self.packet()?);
        }
        Ok(packets)
    }

    /// Gives the packets of what is left: as many as it takes for all samples
    /// to come out.
    ///
    /// # Errors
    /// None that can be foreseen.
    pub fn finish(mut self) -> Result<Vec<Vec<u8>>> {
        let length = self.frames.params.frame;
        let channels = usize::from(self.header.channels);
        self.frames.push(&vec![0; 3 * length * channels]);
        let mut packets = Vec::new();
        while self.given * (length as u64) < self.taken + (length as u64) / 2 {
            packets.push(self.packet()?);
        }
        Ok(packets)
    }

    fn packet(&mut self) -> Result<Vec<u8>> {
        let key = self.until_key == 0;
        if key {
            self.frames.reset();
            self.until_key = self.key_interval;
        }
        self.until_key -= 1;
        self.given += 1;
        let packet = match self.limit {
            Some(limit) => self.packet_within(key, limit)?,
            None => {
                let packet = coded(&mut self.frames, key, self.control.quantiser())?;
                self.control.count(8.0 * packet.len() as f64);
                packet
            }
        };
        Ok(packet)
    }

    /// The next packet with about the finest quantiser for which it is not
    /// larger than `limit` bytes.
    fn packet_within(&mut self, key: bool, limit: usize) -> Result<Vec<u8>> {
        let first = self.control.quantiser();
        let mut best = search(&self.frames, key, first, limit)?;
        if best.packet.len() > limit {
            // Many short blocks have many energies.
            let mut whole = self.frames.clone();
            let tuning = whole.tuning;
            whole.keep_frame_whole();
            best = search(&whole, key, first, limit)?;
            best.frames.tuning = tuning;
        }
        self.frames = best.frames;
        // An attack is no reason to begin the next search far off.
        let change = (best.quantiser - first).clamp(-MAX_CHANGE, MAX_CHANGE);
        self.control.set_quantiser(first + change);
        Ok(best.packet)
    }
}

/// A packet with one of the quantisers that were tried.
struct Trial {
    quantiser: i32,
    /// The encoder behind it.
    frames: FrameEncoder,
    packet: Vec<u8>,
}

/// Looks for the finest quantiser for which the next packet is within `limit`
/// bytes, from one on that may be it; the coarsest one, if there is none.
fn search(frames: &FrameEncoder, key: bool, first: i32, limit: usize) -> Result<Trial> {
    let mut quantiser = first;
    let mut best: Option<Trial> = None;
    let mut too_fine = -1;
    let mut trials = 0;
    loop {
        let mut trial = frames.clone();
        let packet = coded(&mut trial, key, quantiser)?;
        trials += 1;
        // 26 steps halve the bits, about.
        let off = 26.0 * (packet.len() as f64 / limit.max(1) as f64).log2();
        let next = if packet.len() <= limit || quantiser == MAX_QUANTISER {
            best = Some(Trial {
                quantiser,
                frames: trial,
                packet,
            });
            quantiser - (-off as i32).max(1)
        } else {
            too_fine = quantiser;
            // Ever larger steps, should energies be most of it.
            quantiser + (off as i32).max(1 << (trials - 1).min(8))
        };
        let end = match &best {
            Some(best) => best.quantiser,
            None => MAX_QUANTISER + 1,
        };
        if let Some(best) = best.take_if(|_| trials >= TRIALS || too_fine + 1 >= end) {
            return Ok(best);
        }
        quantiser = next.clamp(too_fine + 1, end - 1);
    }
}

/// The next frame as a packet.
fn coded(frames: &mut FrameEncoder, key: bool, quantiser: i32) -> Result<Vec<u8>> {
    let mut coder = RangeBitEncoder::new();
    coder.code_raw(u32::from(key), 1)?;
    frames.encode(&mut coder, quantiser)?;
    let mut packet = coder.finish();
    if packet.is_empty() {
        // An empty packet would be a lost one.
        packet.push(0);
    }
    Ok(packet)
}

/// Makes samples of packets, or of their loss.
#[derive(Debug)]
pub struct PacketDecoder {
    frames: FrameDecoder,
    format: SampleFormat,
    /// Whether the packets since the last independent one all came.
    intact: bool,
}

impl PacketDecoder {
    /// # Errors
    /// [`Error::Malformed`] with offsets in `params`; what is wrong with the
    /// header.
    pub fn new(header: &AudioHeader, params: &[u8]) -> Result<Self> {
        check_header(header)?;
        let params = Params::parse(params)?;
        let channels = usize::from(header.channels);
        Ok(PacketDecoder {
            frames: FrameDecoder::new(params, header.sample_rate, channels),
            format: header.format,
            intact: false,
        })
    }

    /// Samples of each channel in a packet.
    pub fn frame_samples(&self) -> usize {
        self.frames.params.frame
    }

    /// The interleaved samples of the next packet. After a loss, those of
    /// packets that need a lost one are concealed.
    ///
    /// # Errors
    /// [`Error::Malformed`] and [`Error::Truncated`]; call
    /// [`conceal`](Self::conceal) then, and go on with the next packet.
    pub fn decode(&mut self, packet: &[u8]) -> Result<Vec<i32>> {
        if packet.is_empty() {
            return Ok(self.conceal());
        }
        let mut coder = RangeBitDecoder::new(packet);
        if coder.code_raw(0, 1)? != 0 {
            self.frames.reset();
        } else if !self.intact {
            return Ok(self.conceal());
        }
        // Until it is known to be good.
        self.intact = false;
        let frame = self.frames.parse(&mut coder)?;
        if packet != [0] {
            coder.finish()?;
        }
        self.intact = true;
        let planes = self.frames.synthesise(&frame);
        Ok(self.interleaved(&planes))
    }

    /// Samples in place of a lost packet.
    pub fn conceal(&mut self) -> Vec<i32> {
        self.intact = false;
        let planes = self.frames.conceal();
        self.interleaved(&planes)
    }

    fn interleaved(&self, planes: &[Vec<i64>]) -> Vec<i32> {
        interleaved(planes, self.format)
    }
}

/// Samples of all channels in the stream's format, interleaved.
pub(crate) fn interleaved(planes: &[Vec<i64>], format: SampleFormat) -> Vec<i32> {
    let length = planes.first().map_or(0, Vec::len);
    let mut out = Vec::new();
    for i in 0..length {
        out.extend(planes.iter().map(|plane| from_internal(plane[i], format)));
    }
    out
}

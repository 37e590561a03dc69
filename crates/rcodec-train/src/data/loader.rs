//! Threads that prepare batches ahead of the training step.

use super::Collection;
use super::crop::{CropOptions, random_crop};
use crate::codec::{SAMPLE_Q, ycocg_q13};
use crate::random::{Purpose, Random};
use rcodec_core::{Error, Result};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// Batches that each thread may be ahead.
const QUEUE: usize = 4;

/// What one step trains on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Samples `[image][row][column][Y, Co, Cg]` in real units.
    pub images: Vec<f32>,
    /// Quality step of each image.
    pub quality: Vec<usize>,
    /// Uniform numbers in `[−½, ½)`, [`Source::noise`] for each image.
    pub noise: Vec<f32>,
}

/// Everything a batch depends on besides its number.
#[derive(Clone, Debug)]
pub struct Source {
    /// The pictures.
    pub pictures: Arc<Collection>,
    /// How they are cropped.
    pub crop: CropOptions,
    /// Images in a batch.
    pub batch: usize,
    /// Quality steps to draw from.
    pub qualities: usize,
    /// Random numbers for each image.
    pub noise: usize,
    /// Of the run.
    pub seed: u64,
}

impl Source {
    /// The batch of a step: the same whenever it is asked for.
    pub fn batch(&self, step: u64) -> Result<Batch> {
        let mut batch = Batch::default();
        for image in 0..self.batch {
            let position = step * self.batch as u64 + image as u64;
            let mut random = Random::at(self.seed, Purpose::Samples, position);
            let crop = self.crop(&mut random)?;
            batch.images.extend(to_real(&crop));
            // Stratified: a batch covers the qualities evenly.
            let stratum = (image as f32 + random.uniform()) / self.batch as f32;
            let quality = (stratum * self.qualities as f32) as usize;
            batch.quality.push(quality.min(self.qualities - 1));
            let mut random = Random::at(self.seed, Purpose::Noise, position);
            batch
                .noise
                .extend((0..self.noise).map(|_| random.uniform() - 0.5));
        }
        Ok(batch)
    }

    /// One crop of a random picture.
    fn crop(&self, random: &mut Random) -> Result<Vec<u8>> {
        for _ in 0..100 {
            let index = random.below(self.pictures.len().max(1));
            if index >= self.pictures.len() {
                break;
            }
            let Some(picture) = self.pictures.picture(index) else {
                continue;
            };
            return Ok(random_crop(picture, &self.crop, random));
        }
        Err(Error::parameter("no picture that can be decoded"))
    }
}

/// RGB samples as the network's input.
pub fn to_real(rgb: &[u8]) -> impl Iterator<Item = f32> {
    let unit = (1 << SAMPLE_Q) as f32;
    rgb.chunks_exact(3)
        .flat_map(|p| ycocg_q13([p[0], p[1], p[2]]))
        .map(move |v| f32::from(v) / unit)
}

/// The batches of consecutive steps, prepared ahead by threads.
#[derive(Debug)]
pub struct Batches {
    queues: Vec<Receiver<Result<Batch>>>,
    next: usize,
}

impl Batches {
    /// Starts `threads` threads, which prepare the batches from step `first`
    /// on. They end when this is dropped.
    pub fn start(source: Source, first: u64, threads: usize) -> Batches {
        let threads = threads.max(1);
        let queues = (0..threads as u64)
            .map(|thread| {
                let (sender, receiver) = sync_channel(QUEUE);
                let source = source.clone();
                thread::spawn(move || {
                    for step in (first + thread..).step_by(threads) {
                        if sender.send(source.batch(step)).is_err() {
                            return;
                        }
                    }
                });
                receiver
            })
            .collect();
        Batches { queues, next: 0 }
    }

    /// The next step's batch.
    pub fn next_batch(&mut self) -> Result<Batch> {
        let queue = &self.queues[self.next];
        self.next = (self.next + 1) % self.queues.len();
        queue
            .recv()
            .map_err(|_| Error::parameter("a loader thread failed"))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Picture;

    #[test]
    fn batches_do_not_depend_on_threads_or_on_where_they_start() {
        let picture = Picture {
            width: 20,
            height: 20,
            rgb: (0..1200).map(|i| (i % 251) as u8).collect(),
        };
        let source = Source {
            pictures: Arc::new(Collection::from_pictures(vec![picture])),
            crop: CropOptions {
                size: 8,
                min_scale: 0.5,
                unscaled_share: 0.5,
            },
            batch: 3,
            qualities: 64,
            noise: 5,
            seed: 9,
        };
        let mut one = Batches::start(source.clone(), 0, 1);
        let mut three = Batches::start(source.clone(), 2, 3);
        let all: Vec<Batch> = (0..8).map(|_| one.next_batch().unwrap()).collect();
        for expected in &all[2..] {
            assert_eq!(&three.next_batch().unwrap(), expected);
        }
        assert_eq!(all[0].images.len(), 3 * 8 * 8 * 3);
        assert_eq!(all[0].noise.len(), 15);
        assert!(all.iter().all(|batch| batch.quality[0] < 22));
        assert_ne!(all[0], all[1]);
        let empty = Source {
            pictures: Arc::default(),
            ..source
        };
        assert!(empty.batch(0).is_err());
    }
}

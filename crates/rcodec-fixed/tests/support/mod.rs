//! Whole networks with arbitrary weights, for tests and benchmarks: what a
//! lossy image decoder and a byte-wise recurrent model look like.

use rcodec_core::{Budget, Limits, Result};
use rcodec_fixed::{
    Activation, ByteMatrix, ByteMatrixSpec, Conv2d, Conv2dSpec, ConvPixelShuffle, DepthwiseConv2d,
    DepthwiseConv2dSpec, Engine, Gate, GatedRecurrence, Layer, MinGruCell, MinGruState, Padding,
    QFormat, Requant, Residual, Shape, Table, TableSpec, Tensor, layers,
};

/// A generator of weights (xorshift64).
pub(crate) struct Values(u64);

impl Values {
    pub(crate) fn new(seed: u64) -> Values {
        Values(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 8
    }

    /// A value of `-max..=max`.
    pub(crate) fn within(&mut self, max: i32) -> i32 {
        (self.next() % (2 * max as u64 + 1)) as i32 - max
    }

    pub(crate) fn words(&mut self, len: usize, max: i32) -> Vec<i16> {
        (0..len).map(|_| self.within(max) as i16).collect()
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<i8> {
        (0..len).map(|_| self.within(127) as i8).collect()
    }
}

/// The scale of all tensors here.
pub(crate) fn q8() -> QFormat {
    QFormat::new(8).expect("a Q-format")
}

/// A 1x1 convolution whose outputs are about as large as its inputs.
pub(crate) fn pointwise(
    values: &mut Values,
    (in_channels, out_channels): (usize, usize),
    activation: Activation,
    gate: Option<Gate>,
) -> Conv2dSpec {
    Conv2dSpec {
        in_channels,
        out_channels,
        kernel: 1,
        stride: 1,
        padding: Padding::Zero,
        weights: values.words(in_channels * out_channels, 300),
        requant: Requant::uniform(out_channels, 11, activation),
        gate,
        input_max: 1 << 15,
        input_q: q8(),
        output_q: q8(),
    }
}

/// A depthwise 3x3 convolution.
pub(crate) fn depthwise(values: &mut Values, channels: usize) -> DepthwiseConv2dSpec {
    DepthwiseConv2dSpec {
        channels,
        kernel: 3,
        stride: 1,
        padding: Padding::Replicate,
        weights: values.words(9 * channels, 300),
        requant: Requant::uniform(channels, 9, Activation::Identity),
        input_max: 1 << 15,
        input_q: q8(),
        output_q: q8(),
    }
}

/// What kind of layer of a [`Synthesis`] has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A 1x1 convolution.
    Pointwise,
    /// A depthwise convolution.
    Depthwise,
    /// A 1x1 convolution whose outputs are shuffled to pixels.
    Shuffle,
}

/// Called after each layer, with its multiply-adds.
pub(crate) type After<'a> = dyn FnMut(Kind, u64) + 'a;

/// The residual block: 1x1, clipped ReLU, depthwise 3x3, 1x1, add; 1x1 to
/// twice the channels, gated halves, 1x1, add.
struct Block {
    mix: Conv2d,
    spread: DepthwiseConv2d,
    project: Conv2d,
    gated: Conv2d,
    output: Conv2d,
}

impl Block {
    fn new(values: &mut Values, channels: usize) -> Result<Block> {
        let square = (channels, channels);
        let gate = Gate {
            shift: 8,
            activation: Activation::Clip { lo: -256, hi: 256 },
        };
        let identity = Activation::Identity;
        let gated = pointwise(values, (channels, 2 * channels), identity, Some(gate));
        Ok(Block {
            mix: Conv2d::new(&pointwise(values, square, Activation::relu(8191), None))?,
            spread: DepthwiseConv2d::new(&depthwise(values, channels))?,
            project: Conv2d::new(&pointwise(values, square, identity, None))?,
            gated: Conv2d::new(&gated)?,
            output: Conv2d::new(&pointwise(values, square, identity, None))?,
        })
    }

    fn forward(
        &self,
        engine: &Engine,
        x: &mut Tensor,
        scratch: &mut [Tensor; 2],
        after: &mut After<'_>,
    ) -> Result<()> {
        let [a, b] = scratch;
        let shape = x.shape();
        self.mix.forward(engine, x, a)?;
        after(Kind::Pointwise, self.mix.work(shape));
        self.spread.forward(engine, a, b)?;
        after(Kind::Depthwise, self.spread.work(shape));
        self.project.forward_accumulate(engine, b, x)?;
        after(Kind::Pointwise, self.project.work(shape));
        self.gated.forward(engine, x, a)?;
        after(Kind::Pointwise, self.gated.work(shape));
        self.output.forward_accumulate(engine, a, x)?;
        after(Kind::Pointwise, self.output.work(shape));
        Ok(())
    }

    fn layers(&self) -> [&dyn Layer; 5] {
        [
            &self.mix,
            &self.spread,
            &self.project,
            &self.gated,
            &self.output,
        ]
    }
}

/// A synthesis transform: latents at 1/16 of the image's size to RGB.
pub(crate) struct Synthesis {
    head: Conv2d,
    coarse: Vec<Block>,
    up: ConvPixelShuffle,
    fine: Vec<Block>,
    tail: ConvPixelShuffle,
}

/// The tensors a [`Synthesis`] works with.
pub(crate) struct SynthesisScratch {
    coarse: Tensor,
    fine: Tensor,
    buffers: [Tensor; 2],
    /// The image.
    pub(crate) image: Tensor,
}

impl SynthesisScratch {
    pub(crate) fn new() -> Result<SynthesisScratch> {
        let empty = || Tensor::zeros(Shape::new(0, 0, 0)?, q8());
        Ok(SynthesisScratch {
            coarse: empty()?,
            fine: empty()?,
            buffers: [empty()?, empty()?],
            image: empty()?,
        })
    }
}

impl Synthesis {
    /// `latents` channels at 1/16, `coarse` of them in blocks at 1/16, `fine`
    /// at 1/8: (channels, blocks).
    pub(crate) fn new(
        latents: usize,
        coarse: (usize, usize),
        fine: (usize, usize),
    ) -> Result<Synthesis> {
        let values = &mut Values::new(1);
        let identity = Activation::Identity;
        let up = pointwise(values, (coarse.0, 4 * fine.0), identity, None);
        let tail = pointwise(values, (fine.0, 3 * 64), identity, None);
        Ok(Synthesis {
            head: Conv2d::new(&pointwise(values, (latents, coarse.0), identity, None))?,
            coarse: (0..coarse.1)
                .map(|_| Block::new(values, coarse.0))
                .collect::<Result<_>>()?,
            up: ConvPixelShuffle::new(&up, 2)?,
            fine: (0..fine.1)
                .map(|_| Block::new(values, fine.0))
                .collect::<Result<_>>()?,
            tail: ConvPixelShuffle::new(&tail, 8)?,
        })
    }

    pub(crate) fn forward(
        &self,
        engine: &Engine,
        latents: &Tensor,
        scratch: &mut SynthesisScratch,
    ) -> Result<()> {
        self.forward_watched(engine, latents, scratch, &mut |_, _| {})
    }

    /// As [`Synthesis::forward`], with a call after each layer.
    pub(crate) fn forward_watched(
        &self,
        engine: &Engine,
        latents: &Tensor,
        scratch: &mut SynthesisScratch,
        after: &mut After<'_>,
    ) -> Result<()> {
        let SynthesisScratch {
            coarse,
            fine,
            buffers,
            image,
        } = scratch;
        self.head.forward(engine, latents, coarse)?;
        after(Kind::Pointwise, self.head.work(latents.shape()));
        for block in &self.coarse {
            block.forward(engine, coarse, buffers, after)?;
        }
        self.up.forward(engine, coarse, fine)?;
        after(Kind::Shuffle, self.up.work(coarse.shape()));
        for block in &self.fine {
            block.forward(engine, fine, buffers, after)?;
        }
        self.tail.forward(engine, fine, image)?;
        after(Kind::Shuffle, self.tail.work(fine.shape()));
        Ok(())
    }

    /// Multiply-adds for latents of that shape.
    #[allow(dead_code)]
    pub(crate) fn work(&self, latents: Shape) -> Result<u64> {
        let coarse = self.head.output_shape(latents)?;
        let fine = self.up.output_shape(coarse)?;
        let blocks = |blocks: &[Block], shape: Shape| -> u64 {
            blocks
                .iter()
                .flat_map(Block::layers)
                .map(|layer| layer.work(shape))
                .sum()
        };
        Ok(self.head.work(latents)
            + blocks(&self.coarse, coarse)
            + self.up.work(coarse)
            + blocks(&self.fine, fine)
            + self.tail.work(fine))
    }
}

/// One block of a [`ByteModel`]: minGRU, then a gated layer, then back to the
/// trunk.
struct RecurrentBlock {
    cell: MinGruCell,
    gated: ByteMatrix,
    output: ByteMatrix,
}

/// A byte-wise recurrent model with 2^20 weights of 8 bits at `width` 256 and
/// three blocks.
pub(crate) struct ByteModel {
    width: usize,
    embedding: Vec<i16>,
    blocks: Vec<RecurrentBlock>,
    head: ByteMatrix,
}

/// The states of a [`ByteModel`] for streams in lockstep.
pub(crate) struct ByteModelState {
    cells: Vec<MinGruState>,
    trunk: Vec<i16>,
    bytes: Vec<i8>,
    values: Vec<i16>,
    /// The sums for each possible next byte, of each stream.
    pub(crate) logits: Vec<i32>,
}

fn byte_matrix(
    values: &mut Values,
    (inputs, outputs): (usize, usize),
    gate: Option<Gate>,
) -> Result<ByteMatrix> {
    ByteMatrix::new(&ByteMatrixSpec {
        inputs,
        outputs,
        weights: values.bytes(inputs * outputs),
        requant: Requant::uniform(outputs, 5, Activation::Identity),
        gate,
    })
}

impl ByteModel {
    pub(crate) fn new(width: usize, blocks: usize) -> Result<ByteModel> {
        let values = &mut Values::new(2);
        let gate = Gate {
            shift: 12,
            activation: Activation::Clip {
                lo: -4096,
                hi: 4096,
            },
        };
        let update = Table::new(&TableSpec {
            range_bits: 13,
            index_bits: 9,
            interpolate: true,
            values: (0..513).map(|i| (i * 64).min(32_767) as i16).collect(),
            input_q: q8(),
            output_q: QFormat::new(15)?,
        })?;
        let blocks = (0..blocks)
            .map(|_| {
                let input = byte_matrix(values, (width, 2 * width), None)?;
                let recurrence = GatedRecurrence::new(10)?;
                Ok(RecurrentBlock {
                    cell: MinGruCell::new(input, update.clone(), None, recurrence)?,
                    gated: byte_matrix(values, (width, 2 * width), Some(gate))?,
                    output: byte_matrix(values, (width, width), None)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(ByteModel {
            width,
            embedding: values.words(256 * width, 8000),
            blocks,
            head: byte_matrix(values, (width, 256), None)?,
        })
    }

    pub(crate) fn state(&self, streams: usize) -> Result<ByteModelState> {
        let budget = Budget::new(Limits::default());
        Ok(ByteModelState {
            cells: self
                .blocks
                .iter()
                .map(|block| block.cell.state(streams, &budget))
                .collect::<Result<_>>()?,
            trunk: vec![0; streams * self.width],
            bytes: vec![0; streams * self.width],
            values: vec![0; streams * self.width],
            logits: vec![0; streams * 256],
        })
    }

    /// Takes the next byte of each stream.
    pub(crate) fn step(
        &self,
        engine: &Engine,
        state: &mut ByteModelState,
        next: &[u8],
    ) -> Result<()> {
        let ByteModelState {
            cells,
            trunk,
            bytes,
            values,
            logits,
        } = state;
        for (trunk, &byte) in trunk.chunks_exact_mut(self.width).zip(next) {
            let row = usize::from(byte) * self.width;
            trunk.copy_from_slice(&self.embedding[row..row + self.width]);
        }
        for (block, cell) in self.blocks.iter().zip(cells) {
            layers::narrow(engine, trunk, 6, bytes)?;
            block.cell.step(engine, cell, bytes, values)?;
            layers::narrow(engine, values, 6, bytes)?;
            block.gated.apply(engine, bytes, Residual::None, values)?;
            layers::narrow(engine, values, 6, bytes)?;
            block
                .output
                .apply(engine, bytes, Residual::Accumulate, trunk)?;
        }
        layers::narrow(engine, trunk, 6, bytes)?;
        self.head.sums(engine, bytes, logits)
    }

    /// Multiply-adds for a byte.
    #[allow(dead_code)]
    pub(crate) fn work(&self) -> u64 {
        let block =
            |block: &RecurrentBlock| block.cell.work() + block.gated.work() + block.output.work();
        self.blocks.iter().map(block).sum::<u64>() + self.head.work()
    }
}

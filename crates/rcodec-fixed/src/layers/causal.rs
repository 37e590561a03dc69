//! Causal, dilated convolution over time, for signals that arrive bit by bit.

use super::affine::{Affine, Gate};
use crate::engine::Engine;
use crate::kernel::pack::Words;
use crate::requant::{Range, Requant, check_input_max, sum_bound};
use crate::residual::Residual;
use crate::tensor::QFormat;
use rcodec_core::{Budget, Error, Reservation, Result};

/// Frames that are appended to the history before it is moved.
const CHUNK: usize = 48;
/// The longest kernel.
const MAX_KERNEL: usize = 64;
/// The largest dilation.
const MAX_DILATION: usize = 1 << 16;

/// Description of a [`CausalConv1d`]: output `t` is a sum over inputs `t -
/// dilation · (kernel - 1 - tap)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CausalConv1dSpec {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the sums; with a gate, twice those of the output.
    pub out_channels: usize,
    /// Taps, 1 to 64.
    pub kernel: usize,
    /// Frames from one tap to the next, 1 to 65536.
    pub dilation: usize,
    /// `[out][tap][in]`, the oldest tap first.
    pub weights: Vec<i16>,
    /// Biases, shifts and activation of the sums.
    pub requant: Requant,
    /// Whether one half of the outputs multiplies the other.
    pub gate: Option<Gate>,
    /// The largest magnitude of an input, 1 to 32768.
    pub input_max: u32,
    /// Scale of the input.
    pub input_q: QFormat,
    /// Scale of the output.
    pub output_q: QFormat,
}

/// Causal convolution over frames of channels. Before the first frame there
/// are zeros. How the frames are cut into calls changes nothing.
#[derive(Clone, Debug)]
pub struct CausalConv1d {
    in_channels: usize,
    /// Where the taps are in the buffer, from the oldest on.
    segments: Vec<usize>,
    /// Frames that an output looks back.
    reach: usize,
    affine: Affine<Words>,
    input_q: QFormat,
    output_q: QFormat,
}

/// The frames a [`CausalConv1d`] remembers.
#[derive(Debug)]
pub struct CausalState {
    /// The history, then room for new frames; channels padded to pairs.
    frames: Vec<i16>,
    /// Where the history begins, in frames.
    start: usize,
    _reservation: Reservation,
}

impl CausalConv1dSpec {
    /// The bound of each output's sums, below 2³¹ or an error.
    pub fn sum_bounds(&self) -> Result<Vec<u32>> {
        let weights = self
            .in_channels
            .checked_mul(self.kernel)
            .and_then(|window| window.checked_mul(self.out_channels));
        let shape_is_possible = self.in_channels > 0
            && self.out_channels > 0
            && (1..=MAX_KERNEL).contains(&self.kernel)
            && (1..=MAX_DILATION).contains(&self.dilation)
            && weights == Some(self.weights.len());
        if !shape_is_possible {
            return Err(Error::Parameter(format!(
                "causal convolution of {} to {} channels, kernel {}, dilation {}, {} weights",
                self.in_channels,
                self.out_channels,
                self.kernel,
                self.dilation,
                self.weights.len()
            )));
        }
        check_input_max(self.input_max)?;
        self.requant.check(self.out_channels)?;
        self.gate
            .map_or(Ok(()), |gate| gate.check(self.out_channels))?;
        self.weights
            .chunks_exact(self.kernel * self.in_channels)
            .enumerate()
            .map(|(out, weights)| {
                let (bias, shift) = (self.requant.bias[out], self.requant.shift[out]);
                sum_bound(weights.iter().copied(), self.input_max, bias, shift)
            })
            .collect()
    }
}

impl CausalConv1d {
    /// Checks the description, proves that no sum overflows, and packs the
    /// weights.
    pub fn new(spec: &CausalConv1dSpec) -> Result<CausalConv1d> {
        let bounds = spec.sum_bounds()?;
        let channels = spec.in_channels.next_multiple_of(2);
        let affine = Affine::new(
            (spec.out_channels, spec.kernel * channels),
            |out, input| {
                let (tap, channel) = (input / channels, input % channels);
                if channel >= spec.in_channels {
                    return 0;
                }
                spec.weights[(out * spec.kernel + tap) * spec.in_channels + channel]
            },
            &spec.requant,
            spec.gate,
            &bounds,
        );
        Ok(CausalConv1d {
            in_channels: spec.in_channels,
            segments: (0..spec.kernel)
                .map(|tap| tap * spec.dilation * channels)
                .collect(),
            reach: (spec.kernel - 1) * spec.dilation,
            affine,
            input_q: spec.input_q,
            output_q: spec.output_q,
        })
    }

    /// Channels of the input.
    pub fn in_channels(&self) -> usize {
        self.in_channels
    }

    /// Channels of the output.
    pub fn out_channels(&self) -> usize {
        self.affine.width()
    }

    /// Scale of the input.
    pub fn input_q(&self) -> QFormat {
        self.input_q
    }

    /// Scale of the output.
    pub fn output_q(&self) -> QFormat {
        self.output_q
    }

    /// The outputs that are possible.
    pub fn output_range(&self) -> Range {
        self.affine.range()
    }

    /// Multiply-adds for each frame.
    pub fn work(&self) -> u64 {
        self.affine.work()
    }

    /// A silent past, its memory charged to `budget`.
    pub fn state(&self, budget: &Budget) -> Result<CausalState> {
        // Room for twice the history: it is moved once in as many frames.
        let frames = 2 * self.reach as u64 + CHUNK as u64;
        let channels = self.in_channels.next_multiple_of(2) as u64;
        let len = frames.checked_mul(channels).ok_or(Error::Limit("memory"))?;
        let (frames, reservation) = budget.filled(0, len)?;
        Ok(CausalState {
            frames,
            start: 0,
            _reservation: reservation,
        })
    }

    /// Takes the next frames of `input`, `[frame][channel]`, and gives as many
    /// of `out`. `state` must be one of this layer's.
    pub fn process(
        &self,
        engine: &Engine,
        state: &mut CausalState,
        input: &[i16],
        residual: Residual<'_>,
        out: &mut [i16],
    ) -> Result<()> {
        let channels = self.in_channels.next_multiple_of(2);
        let width = self.out_channels();
        let frames = input.len() / self.in_channels;
        let lengths_agree = input.len().is_multiple_of(self.in_channels)
            && frames.checked_mul(width) == Some(out.len())
            && state.frames.len() == (2 * self.reach + CHUNK) * channels;
        if !lengths_agree {
            return Err(Error::Parameter(format!(
                "{} values for {} outputs of a causal convolution",
                input.len(),
                out.len()
            )));
        }
        residual.check(out.len())?;
        let inputs = input.chunks(CHUNK * self.in_channels);
        for (i, (input, out)) in inputs.zip(out.chunks_mut(CHUNK * width)).enumerate() {
            let count = input.len() / self.in_channels;
            if (state.start + self.reach + count) * channels > state.frames.len() {
                let history = state.start * channels..(state.start + self.reach) * channels;
                state.frames.copy_within(history, 0);
                state.start = 0;
            }
            let new = (state.start + self.reach) * channels;
            let targets = state.frames[new..].chunks_exact_mut(channels);
            for (to, from) in targets.zip(input.chunks_exact(self.in_channels)) {
                to[..self.in_channels].copy_from_slice(from);
            }
            let rows = &state.frames[state.start * channels..new + count * channels];
            let residual = residual.part(i * CHUNK * width, out.len());
            let start = self.affine.start();
            self.affine.run(
                engine,
                (rows, channels, &self.segments),
                start,
                residual,
                out,
            );
            state.start += count;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{
        Values, activation, cases, count_equal, counted, engines, tame,
    };
    use super::*;
    use proptest::prelude::*;
    use rcodec_core::Limits;

    /// The convolution of a whole signal by its formula.
    fn naive(spec: &CausalConv1dSpec, input: &[i16]) -> Vec<i16> {
        let frames = input.len() / spec.in_channels;
        let mut out = Vec::new();
        for t in 0..frames {
            for o in 0..spec.out_channels {
                let mut sum = 0i32;
                for tap in 0..spec.kernel {
                    let back = spec.dilation * (spec.kernel - 1 - tap);
                    for c in 0..spec.in_channels {
                        let weight = spec.weights[(o * spec.kernel + tap) * spec.in_channels + c];
                        if back <= t {
                            let value = input[(t - back) * spec.in_channels + c];
                            sum += i32::from(weight) * i32::from(value);
                        }
                    }
                }
                out.push(spec.requant.apply(o, sum));
            }
        }
        out
    }

    proptest! {
        #![proptest_config(cases(60))]

        fn any_cut_of_the_signal_gives_the_formula_cases(
            seed: u64,
            (in_channels, out_channels) in (1usize..20, 1usize..36),
            (kernel, dilation) in (1usize..6, 1usize..40),
            frames in 1usize..160,
            kind in 0usize..3,
        ) {
            let (out_channels, frames) = (tame(out_channels, 20), tame(frames, 50));
            let mut values = Values::new(seed);
            let window = kernel * in_channels;
            let spec = CausalConv1dSpec {
                in_channels,
                out_channels,
                kernel,
                dilation,
                weights: values.words(window * out_channels, 60_000 / window),
                requant: values.requant(out_channels, activation(kind)),
                gate: None,
                input_max: 32_768,
                input_q: QFormat::INTEGER,
                output_q: QFormat::INTEGER,
            };
            let input = values.extreme_words(frames * in_channels);
            let expected = naive(&spec, &input);
            let layer = CausalConv1d::new(&spec).unwrap();
            let budget = Budget::new(Limits::default());
            for engine in engines() {
                let mut state = layer.state(&budget).unwrap();
                let mut out = vec![0; expected.len()];
                let mut done = 0;
                while done < frames {
                    let count = 1 + values.next() as usize % (frames - done);
                    let (input, out) = (
                        &input[done * in_channels..(done + count) * in_channels],
                        &mut out[done * out_channels..(done + count) * out_channels],
                    );
                    layer.process(&engine, &mut state, input, Residual::None, out).unwrap();
                    done += count;
                }
                prop_assert_eq!(&out, &expected);
                count_equal(out.len());
            }
        }
    }

    #[test]
    fn any_cut_of_the_signal_gives_the_formula() {
        counted(
            "dilated causal convolution",
            any_cut_of_the_signal_gives_the_formula_cases,
        );
    }

    #[test]
    fn memory_is_asked_for_and_descriptions_are_checked() {
        let mut values = Values::new(3);
        let spec = CausalConv1dSpec {
            in_channels: 64,
            out_channels: 2,
            kernel: 3,
            dilation: 1 << 16,
            weights: values.words(3 * 64 * 2, 300),
            requant: values.requant(2, activation(0)),
            gate: None,
            input_max: 32_768,
            input_q: QFormat::INTEGER,
            output_q: QFormat::INTEGER,
        };
        let layer = CausalConv1d::new(&spec).unwrap();
        let small = Budget::new(Limits {
            max_alloc_bytes: 1 << 20,
            ..Limits::default()
        });
        assert!(layer.state(&small).is_err());
        let bad = CausalConv1dSpec {
            dilation: (1 << 16) + 1,
            ..spec
        };
        assert!(CausalConv1d::new(&bad).is_err());
    }
}

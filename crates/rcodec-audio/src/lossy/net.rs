//! A small network that says what the mixture of adaptive contexts does not
//! know of levels: one hidden layer, in 16-bit integers.

/// What the network sees of a coefficient, Q4: octaves of the step, halved.
pub const INPUTS: usize = 24;
/// Units of the hidden layer.
pub const HIDDEN: usize = 32;
/// Decisions of a level that it speaks of: that the magnitude is above 0 to 11.
pub const OUTPUTS: usize = 12;

/// Bytes of a network.
pub(crate) const BYTES: usize = 2 * HIDDEN * (INPUTS + OUTPUTS) + 4 * (HIDDEN + OUTPUTS);

/// Bounds of weights (Q10), of biases (Q14 and Q18) and of the hidden layer's
/// values (Q8): no sum leaves 32 bits.
pub(crate) const MAX_WEIGHT: i16 = 8191;
pub(crate) const MAX_BIAS: i32 = 1 << 28;
const MAX_HIDDEN: i32 = 4095;

/// The values of the hidden layer, Q8.
pub(crate) type Hidden = [i16; HIDDEN];

#[derive(Clone, Debug)]
pub(crate) struct LevelNet {
    /// Q10.
    first: [[i16; INPUTS]; HIDDEN],
    /// Q14.
    first_bias: [i32; HIDDEN],
    /// Q10.
    last: [[i16; HIDDEN]; OUTPUTS],
    /// Q18.
    last_bias: [i32; OUTPUTS],
}

impl LevelNet {
    /// The network that belongs to the format.
    pub(crate) fn shipped() -> &'static LevelNet {
        static NET: std::sync::OnceLock<LevelNet> = std::sync::OnceLock::new();
        NET.get_or_init(|| LevelNet::read(include_bytes!("levels.bin")))
    }

    /// Reads weights of the first layer by unit, its biases, weights of the last
    /// by decision, its biases: little-endian.
    pub(crate) fn read(bytes: &[u8; BYTES]) -> LevelNet {
        let mut bytes = bytes.iter().copied();
        let mut next = || bytes.next().unwrap_or(0);
        let i16s = |out: &mut [i16], next: &mut dyn FnMut() -> u8| {
            for value in out {
                let weight = i16::from_le_bytes([next(), next()]);
                *value = weight.clamp(-MAX_WEIGHT, MAX_WEIGHT);
            }
        };
        let i32s = |out: &mut [i32], next: &mut dyn FnMut() -> u8| {
            for value in out {
                let bias = i32::from_le_bytes([next(), next(), next(), next()]);
                *value = bias.clamp(-MAX_BIAS, MAX_BIAS);
            }
        };
        let mut net = LevelNet {
            first: [[0; INPUTS]; HIDDEN],
            first_bias: [0; HIDDEN],
            last: [[0; HIDDEN]; OUTPUTS],
            last_bias: [0; OUTPUTS],
        };
        i16s(net.first.as_flattened_mut(), &mut next);
        i32s(&mut net.first_bias, &mut next);
        i16s(net.last.as_flattened_mut(), &mut next);
        i32s(&mut net.last_bias, &mut next);
        net
    }

    /// The hidden layer for what is seen of a coefficient (within ±64 each).
    #[inline]
    pub(crate) fn hidden(&self, inputs_q4: &[i16; INPUTS]) -> Hidden {
        let mut hidden = [0; HIDDEN];
        for (value, (row, bias)) in hidden
            .iter_mut()
            .zip(self.first.iter().zip(self.first_bias))
        {
            let sum_q8 = (dot(row, inputs_q4) + bias) >> 6;
            let leaky = sum_q8.max(sum_q8 >> 3);
            *value = leaky.clamp(-MAX_HIDDEN, MAX_HIDDEN) as i16;
        }
        hidden
    }

    /// What is added to the mixture's prediction of a decision, in the logistic
    /// domain, Q8.
    #[inline]
    pub(crate) fn logit_q8(&self, hidden: &Hidden, decision: usize) -> i32 {
        (dot(&self.last[decision], hidden) + self.last_bias[decision] + (1 << 9)) >> 10
    }
}

#[inline(always)]
fn dot<const N: usize>(a: &[i16; N], b: &[i16; N]) -> i32 {
    let products = a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b));
    products.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sum_leaves_32_bits() {
        // All weights and inputs at their bounds: overflow would panic here.
        for sign in [1i16, -1] {
            let mut bytes = [0; BYTES];
            let (weights, bias) = ([(sign * 32767).to_le_bytes()], i32::MAX.to_le_bytes());
            let mut at = 0;
            for (count, biases) in [(HIDDEN * INPUTS, HIDDEN), (HIDDEN * OUTPUTS, OUTPUTS)] {
                for _ in 0..count {
                    bytes[at..at + 2].copy_from_slice(&weights[0]);
                    at += 2;
                }
                for _ in 0..biases {
                    bytes[at..at + 4].copy_from_slice(&bias);
                    at += 4;
                }
            }
            assert_eq!(at, BYTES);
            let net = LevelNet::read(&bytes);
            for input in [-64, 64] {
                let hidden = net.hidden(&[input; INPUTS]);
                for decision in 0..OUTPUTS {
                    let logit = net.logit_q8(&hidden, decision);
                    assert!(logit.abs() < 1 << 21, "{logit}");
                }
            }
        }
    }

    #[test]
    fn the_network_is_the_formula() {
        let mut bytes = [0; BYTES];
        // Unit 0: input 1 times 1.5, minus 1; decision 2: unit 0 times -0.5, plus 2.
        bytes[2..4].copy_from_slice(&1536i16.to_le_bytes());
        let bias = 2 * HIDDEN * INPUTS;
        bytes[bias..bias + 4].copy_from_slice(&(-(1i32 << 14)).to_le_bytes());
        let last = bias + 4 * HIDDEN + 2 * 2 * HIDDEN;
        bytes[last..last + 2].copy_from_slice(&(-512i16).to_le_bytes());
        let last_bias = bias + 4 * HIDDEN + 2 * HIDDEN * OUTPUTS + 4 * 2;
        bytes[last_bias..last_bias + 4].copy_from_slice(&(2i32 << 18).to_le_bytes());
        let net = LevelNet::read(&bytes);
        for (input, logit) in [(2.0, 1.0), (-2.0, 2.25)] {
            let mut inputs = [0; INPUTS];
            inputs[1] = (input * 16.0) as i16;
            let found = net.logit_q8(&net.hidden(&inputs), 2);
            assert_eq!(found, (logit * 256.0) as i32);
            assert_eq!(net.logit_q8(&net.hidden(&inputs), 3), 0);
        }
    }
}

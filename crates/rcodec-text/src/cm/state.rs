//! Bit histories: what came after a context, in one byte.
//!
//! A state stands for how many zeros and how many ones were seen, and which
//! came last. When a bit contradicts the other count, that count is discounted:
//! what was seen long ago counts less. The numbers of the states are given in
//! the order in which a search from the empty history finds them, and are part
//! of the format.

/// Most states that fit.
const MAX_STATES: usize = 256;

/// A bit history, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct History {
    zeros: u32,
    ones: u32,
    /// The bit that came last; false where the counts say it all.
    last: bool,
}

/// The tables of all states.
pub(crate) struct States {
    /// The state after a zero and after a one.
    pub(crate) next: [[u8; 2]; MAX_STATES],
    /// A first guess at the probability of a one, of 65536.
    pub(crate) guess_q16: [u16; MAX_STATES],
    /// Bits seen, for choosing what to forget.
    pub(crate) total: [u8; MAX_STATES],
    /// Zeros and ones that a state stands for.
    pub(crate) counts: [[u8; 2]; MAX_STATES],
    /// Number of states.
    pub(crate) count: usize,
}

/// The states, built by the compiler.
pub(crate) static STATES: States = build();

/// The largest count beside each smaller one.
const MOST_BESIDE: [u32; 5] = [40, 20, 9, 6, 5];

const fn is_allowed(a: u32, b: u32) -> bool {
    let (least, most) = if a < b { (a, b) } else { (b, a) };
    (least as usize) < MOST_BESIDE.len() && most <= MOST_BESIDE[least as usize]
}

/// What remains of a count that has just been contradicted.
const fn discounted(count: u32) -> u32 {
    match count {
        0..=2 => count,
        3 => 2,
        4 => 3,
        5..=6 => 4,
        7..=9 => 5,
        10..=14 => 6,
        15..=22 => 7,
        _ => 8,
    }
}

const fn step(history: History, bit: bool) -> History {
    let (mut same, mut other) = if bit {
        (history.ones, history.zeros)
    } else {
        (history.zeros, history.ones)
    };
    same += 1;
    other = discounted(other);
    while !is_allowed(same, other) {
        if same > other {
            same -= 1;
        } else {
            other -= 1;
        }
    }
    let (zeros, ones) = if bit { (other, same) } else { (same, other) };
    History {
        zeros,
        ones,
        last: bit && other > 0,
    }
}

const fn is_same(a: History, b: History) -> bool {
    a.zeros == b.zeros && a.ones == b.ones && a.last == b.last
}

const fn build() -> States {
    let empty = History {
        zeros: 0,
        ones: 0,
        last: false,
    };
    let mut histories = [empty; MAX_STATES];
    let mut states = States {
        next: [[0; 2]; MAX_STATES],
        guess_q16: [1 << 15; MAX_STATES],
        total: [0; MAX_STATES],
        counts: [[0; 2]; MAX_STATES],
        count: 1,
    };
    let mut i = 0;
    while i < states.count {
        let history = histories[i];
        let mut bit = 0;
        while bit < 2 {
            let after = step(history, bit == 1);
            let mut number = 0;
            while number < states.count && !is_same(histories[number], after) {
                number += 1;
            }
            if number == states.count {
                // More than fit would end the compilation here.
                histories[number] = after;
                states.count += 1;
            }
            states.next[i][bit] = number as u8;
            bit += 1;
        }
        let total = history.zeros + history.ones;
        states.total[i] = total as u8;
        states.counts[i] = [history.zeros as u8, history.ones as u8];
        states.guess_q16[i] = (65536 * (5 * history.ones + 2) / (5 * total + 4)) as u16;
        i += 1;
    }
    states
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_fit_a_byte_and_none_leads_back_to_nothing() {
        assert!(
            (100..=MAX_STATES).contains(&STATES.count),
            "{}",
            STATES.count
        );
        for next in &STATES.next[..STATES.count] {
            assert!(
                next.iter()
                    .all(|&n| n != 0 && usize::from(n) < STATES.count)
            );
        }
    }

    #[test]
    fn a_run_grows_certain_and_a_contradiction_shakes_it() {
        let mut state = 0u8;
        let mut before = 0;
        for _ in 0..40 {
            state = STATES.next[usize::from(state)][1];
            let guess = STATES.guess_q16[usize::from(state)];
            assert!(guess > before);
            before = guess;
        }
        assert!(before > 64_000);
        assert_eq!(STATES.next[usize::from(state)][1], state);
        let shaken = STATES.next[usize::from(state)][0];
        assert!(STATES.guess_q16[usize::from(shaken)] < 62_000);
        assert!(STATES.total[usize::from(shaken)] < 12);
    }
}

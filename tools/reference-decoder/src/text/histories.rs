//! Bit histories (section 7).

/// What came after a context: counts of zeros and ones, and the last bit where
/// that is told apart.
type State = (u32, u32, u32);

/// The states by their numbers.
pub(super) struct Histories {
    states: Vec<State>,
    next: Vec<[u8; 2]>,
}

impl Histories {
    pub(super) fn new() -> Histories {
        let mut states = vec![(0, 0, 0)];
        let mut next = Vec::new();
        while next.len() < states.len() {
            let state = states[next.len()];
            next.push([false, true].map(|bit| {
                let after = step(state, bit);
                let number = states.iter().position(|&s| s == after).unwrap_or_else(|| {
                    states.push(after);
                    states.len() - 1
                });
                number as u8
            }));
        }
        Histories { states, next }
    }

    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    pub(super) fn next(&self, state: u8, bit: bool) -> u8 {
        self.next[usize::from(state)][usize::from(bit)]
    }

    /// How often `bit` was seen, as far as the state says.
    pub(super) fn count(&self, state: u8, bit: bool) -> u32 {
        let (zeros, ones, _) = self.states[usize::from(state)];
        if bit { ones } else { zeros }
    }

    pub(super) fn total(&self, state: u8) -> u32 {
        self.count(state, false) + self.count(state, true)
    }

    pub(super) fn guess(&self, state: u8) -> u32 {
        65536 * (5 * self.count(state, true) + 2) / (5 * self.total(state) + 4)
    }
}

fn step((zeros, ones, _): State, bit: bool) -> State {
    let (mut same, other) = if bit { (ones, zeros) } else { (zeros, ones) };
    same += 1;
    let mut other = remains(other);
    while !allowed(same, other) {
        if same > other {
            same -= 1;
        } else {
            other -= 1;
        }
    }
    if bit {
        (other, same, u32::from(other > 0))
    } else {
        (same, other, 0)
    }
}

/// What is left of a count when the other bit comes.
fn remains(count: u32) -> u32 {
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

fn allowed(a: u32, b: u32) -> bool {
    match a.min(b) {
        0 => a.max(b) <= 40,
        1 => a.max(b) <= 20,
        2 => a.max(b) <= 9,
        3 => a.max(b) <= 6,
        4 => a.max(b) <= 5,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_those_of_the_page() {
        let histories = Histories::new();
        assert_eq!(histories.len(), 173);
        assert_eq!(
            histories.states[..8],
            [
                (0, 0, 0),
                (1, 0, 0),
                (0, 1, 0),
                (2, 0, 0),
                (1, 1, 1),
                (1, 1, 0),
                (0, 2, 0),
                (3, 0, 0)
            ]
        );
        let bytes: Vec<u8> = histories.next.iter().flatten().copied().collect();
        assert_eq!(xxhash_rust::xxh3::xxh3_64(&bytes), 0xd893_a549_33de_eed0);
    }
}

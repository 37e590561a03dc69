//! Secondary estimation with very many contexts.
//!
//! The map of `rcodec-entropy` in another layout. Points are stored as their
//! distance from where they begin, so that a new map is zeros, which cost
//! neither time nor memory before they are used. A row is a cache line, and the
//! rows of contexts that differ in the lowest bit are neighbours: with this bit
//! the one to be coded, both can be asked for one bit early.

use rcodec_core::{Budget, Reservation, Result};
use rcodec_entropy::CountedBit;
use rcodec_entropy::logistic::{STRETCH_MAX_Q8, squash};
use rcodec_fixed::prefetch;

/// How many bits a point counts as having seen at first.
const FIRST_COUNT: u32 = 6;

type Point = CountedBit<1023>;

/// What a prediction was really worth, in each context: at `P` points evenly
/// spaced over the logistic domain.
pub(crate) struct Apm<const P: usize> {
    /// For each context its points, exclusive-or what they begin with; the
    /// first row stands at `first`, where a cache line begins.
    points: Vec<u32>,
    first: usize,
    mask: usize,
    fresh: [u32; P],
    context: usize,
    low_point: usize,
    _reservation: Reservation,
}

impl<const P: usize> Apm<P> {
    /// Distance of two points, Q8: all of them reach over the whole domain.
    const STEP_Q8: u32 = (2 * STRETCH_MAX_Q8 as u32).div_ceil(P as u32 - 1);
    /// How many bits a point counts at most: with few points each stands for more
    /// situations, and has to follow them.
    const LIMIT: u32 = if P > 16 { 1023 } else { 255 };
    /// Half of the whole.
    const MIDDLE_Q8: i32 = (Self::STEP_Q8 * (P as u32 - 1) / 2) as i32;

    /// A map of `contexts`, a power of two, that begins as the identity.
    pub(crate) fn new(contexts: usize, budget: &Budget) -> Result<Self> {
        let contexts = contexts.next_power_of_two();
        let count = (contexts + 2) * P;
        let reservation = budget.reserve_for::<u32>(count as u64)?;
        // Zeros from the system, not written by us: pages come with use.
        let points = vec![0u32; count];
        let first = points.as_ptr().align_offset(8 * P).min(2 * P);
        let fresh = std::array::from_fn(|j| {
            let x_q8 = j as i32 * Self::STEP_Q8 as i32 - Self::MIDDLE_Q8;
            Point::with_p1_q16(squash(x_q8), FIRST_COUNT).to_bits()
        });
        Ok(Apm {
            points,
            first,
            mask: contexts - 1,
            fresh,
            context: 0,
            low_point: 0,
            _reservation: reservation,
        })
    }

    /// The number of contexts.
    pub(crate) fn contexts(&self) -> usize {
        self.mask + 1
    }

    #[inline(always)]
    fn points_of(&self, context: usize) -> &[u32; P] {
        let at = self.first + (context & self.mask) * P;
        self.points[at..].first_chunk().expect("a row of padding")
    }

    #[inline(always)]
    fn points_of_mut(&mut self, context: usize) -> &mut [u32; P] {
        let at = self.first + (context & self.mask) * P;
        self.points[at..]
            .first_chunk_mut()
            .expect("a row of padding")
    }

    /// The points of a new row.
    pub(crate) fn fresh(&self) -> [Point; P] {
        self.fresh.map(Point::from_bits)
    }

    /// The points of a context; `None` if they have learned nothing.
    pub(crate) fn row(&self, context: usize) -> Option<[Point; P]> {
        let row = self.points_of(context);
        if row.iter().all(|&point| point == 0) {
            return None;
        }
        Some(std::array::from_fn(|j| {
            Point::from_bits(row[j] ^ self.fresh[j])
        }))
    }

    /// Gives a context what another map had learned.
    pub(crate) fn set_row(&mut self, context: usize, points: &[Point; P]) {
        let fresh = self.fresh;
        *self.points_of_mut(context) = std::array::from_fn(|j| points[j].to_bits() ^ fresh[j]);
    }

    /// Chooses the context of the next bit.
    #[inline(always)]
    pub(crate) fn select(&mut self, context: usize) {
        self.context = context & self.mask;
    }

    /// Asks the cache for the rows of a context and its neighbour.
    #[inline(always)]
    pub(crate) fn touch(&self, context: usize) {
        let at = self.first + (context & self.mask & !1) * P;
        for row in [at, at + P] {
            if let Some(point) = self.points.get(row) {
                prefetch(point);
            }
        }
    }

    /// The refined probability, in 1..=65535 of 65536, of a prediction in the
    /// logistic domain, Q8.
    #[inline(always)]
    pub(crate) fn refine(&mut self, x_q8: i32) -> u32 {
        let position = (x_q8 + Self::MIDDLE_Q8).clamp(0, 2 * Self::MIDDLE_Q8 - 1) as u32;
        let low_point = (position / Self::STEP_Q8) as usize;
        let weight = position % Self::STEP_Q8;
        self.low_point = low_point;
        let row = self.points_of(self.context);
        let p_q22 = |j: usize| (row[j] ^ self.fresh[j]) >> 10;
        let (low, high) = (p_q22(low_point), p_q22(low_point + 1));
        // 22 bits times 376 (of 16 points) stay below 2^31.
        let p_q22 = (low * (Self::STEP_Q8 - weight) + high * weight) / Self::STEP_Q8;
        (p_q22 >> 6).max(1)
    }

    /// Learns the bit that came after the last [`refine`](Self::refine).
    #[inline(always)]
    pub(crate) fn update(&mut self, bit: bool) {
        let low = self.low_point;
        let fresh = [self.fresh[low], self.fresh[low + 1]];
        let row = self.points_of_mut(self.context);
        for (point, fresh) in row[low..].iter_mut().zip(fresh) {
            let mut learned = Point::from_bits(*point ^ fresh);
            learned.update_with_limit(bit, Self::LIMIT);
            *point = learned.to_bits() ^ fresh;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcodec_core::Limits;
    use rcodec_entropy::logistic::{STRETCH_MAX_Q8, stretch};

    fn apm(contexts: usize) -> Apm<16> {
        Apm::new(contexts, &Budget::new(Limits::default())).unwrap()
    }

    fn refine(apm: &mut Apm<16>, x_q8: i32, context: usize) -> u32 {
        apm.select(context);
        apm.refine(x_q8)
    }

    #[test]
    fn a_new_map_changes_little() {
        // A chord of the logistic function is off by the square of its length.
        let mut fine = Apm::<32>::new(2, &Budget::new(Limits::default())).unwrap();
        let mut apm = apm(2);
        for x_q8 in -STRETCH_MAX_Q8..=STRETCH_MAX_Q8 {
            let (x, few, many) = (squash(x_q8), refine(&mut apm, x_q8, 1), {
                fine.select(1);
                fine.refine(x_q8)
            });
            assert!(
                many.abs_diff(x) < 450 && few.abs_diff(x) < 1900,
                "{x_q8}: {x} {few} {many}"
            );
        }
        assert!((1..=65535).contains(&refine(&mut apm, i32::MIN / 2, 0)));
        assert!((1..=65535).contains(&refine(&mut apm, i32::MAX / 2, 9)));
    }

    #[test]
    fn a_map_learns_what_predictions_are_worth_and_hands_it_on() {
        let mut apm = apm(4);
        let x_q8 = stretch(39_322);
        for i in 0..2000 {
            refine(&mut apm, x_q8, 1);
            apm.update(i % 10 != 0);
        }
        let learned = refine(&mut apm, x_q8, 1);
        assert!(learned.abs_diff(58_982) < 1500);
        assert!(apm.row(0).is_none());
        let row = apm.row(1).unwrap();
        apm.set_row(2, &row);
        assert_eq!(refine(&mut apm, x_q8, 2), learned);
    }
}

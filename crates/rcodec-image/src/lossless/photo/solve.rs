//! The solution of least squares, in IEEE doubles: `+ - * /` in a fixed order.

/// Columns that are eliminated side by side.
const QUAD: usize = 4;

/// The largest weight as an integer: ±8 at the 14 fraction bits in use. Its
/// products with samples of twelve bits stay within 32 bits, and so do sums
/// that are anywhere near a sample.
const MOST: f64 = 131_072.0;

/// The weights, with `weight_q` fraction bits, for which the first `N`
/// columns come nearest to column `N`. `m` is the upper triangle of the
/// products of columns (more may be there and is not looked at); it is
/// overwritten. `None` if it is not positive definite.
///
/// Gaussian elimination without pivoting, as the matrix is symmetric.
#[inline(always)]
pub(crate) fn solve<const N: usize, const C: usize>(
    m: &mut [[f64; C]; N],
    weight_q: u32,
) -> Option<[i32; N]> {
    let mut inverse = [0.0; N];
    // Lengths that the compiler knows make vector code of the innermost loop.
    let regular = eliminate::<0, N, C>(m, &mut inverse)
        && eliminate::<1, N, C>(m, &mut inverse)
        && eliminate::<2, N, C>(m, &mut inverse)
        && eliminate::<3, N, C>(m, &mut inverse)
        && eliminate::<4, N, C>(m, &mut inverse)
        && eliminate::<5, N, C>(m, &mut inverse)
        && eliminate::<6, N, C>(m, &mut inverse)
        && eliminate::<7, N, C>(m, &mut inverse);
    if !regular {
        return None;
    }
    let mut rest = [0.0; N];
    let mut i = 0;
    while i < N {
        rest[i] = m[i][N];
        i += 1;
    }
    let mut weights = [0; N];
    let mut i = N;
    while i > 0 {
        i -= 1;
        let weight = rest[i] * inverse[i];
        let mut above = 0;
        while above < i {
            rest[above] -= m[above][i] * weight;
            above += 1;
        }
        // A cast saturates, and turns what is not a number into 0.
        weights[i] = (weight * (1u32 << weight_q) as f64).clamp(-MOST, MOST) as i32;
    }
    Some(weights)
}

/// Eliminates the columns of quad `Q`, and says whether that could be done.
#[inline(always)]
fn eliminate<const Q: usize, const N: usize, const C: usize>(
    m: &mut [[f64; C]; N],
    inverse: &mut [f64; N],
) -> bool {
    const { assert!(C <= 8 * QUAD) }
    let from = (Q * QUAD).min(C);
    let end = (N / QUAD + 1) * QUAD;
    let mut k = from;
    while k < N && k < from + QUAD {
        let pivot = m[k];
        if pivot[k] <= 1e-6 {
            return false;
        }
        inverse[k] = 1.0 / pivot[k];
        let mut i = k + 1;
        while i < N {
            let factor = pivot[i] * inverse[k];
            // What is before column `i` is not looked at.
            for (x, &p) in m[i][from..end].iter_mut().zip(&pivot[from..end]) {
                *x -= factor * p;
            }
            i += 1;
        }
        k += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_and_refuses() {
        // 2a + b = 5, a + 3b = 10: a = 1, b = 3.
        let mut m = [[2.0, 1.0, 5.0, 0.0], [f64::NAN, 3.0, 10.0, 0.0]];
        assert_eq!(solve::<2, 4>(&mut m, 4), Some([16, 48]));
        let mut m = [[1.0, 1.0, 5.0, 0.0], [1.0, 1.0, 5.0, 0.0]];
        assert_eq!(solve::<2, 4>(&mut m, 4), None);
    }
}

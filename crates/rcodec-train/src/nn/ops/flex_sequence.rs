//! Kernels of sequences as direct loops over a CPU's memory.

use super::flex::{View, tensor};
use burn::backend::flex::FlexTensor;

/// `h[t] = h[t - 1] + z[t] · (g[t] - h[t - 1])`.
pub(super) fn recur(update: FlexTensor, candidate: FlexTensor, steps: usize) -> FlexTensor {
    let (z, g) = (View::new(update), View::new(candidate));
    let (z_all, g_all) = (z.values::<f32>(), g.values::<f32>());
    let row = z_all.len() / steps;
    let mut out = Vec::with_capacity(z_all.len());
    let mut state = vec![0.0f32; row];
    for (z, g) in z_all.chunks_exact(row).zip(g_all.chunks_exact(row)) {
        for ((h, z), g) in state.iter_mut().zip(z).zip(g) {
            *h += z * (g - *h);
        }
        out.extend_from_slice(&state);
    }
    tensor(out, &z.dims)
}

/// Gradients by both.
pub(super) fn recur_backward(
    (update, candidate): (FlexTensor, FlexTensor),
    output: FlexTensor,
    grad: FlexTensor,
    steps: usize,
) -> (FlexTensor, FlexTensor) {
    let (z, g) = (View::new(update), View::new(candidate));
    let (h, grad) = (View::new(output), View::new(grad));
    let (z_all, g_all) = (z.values::<f32>(), g.values::<f32>());
    let (h_all, grads) = (h.values::<f32>(), grad.values::<f32>());
    let row = z_all.len() / steps;
    let zeros = vec![0.0f32; row];
    let mut by_state = zeros.clone();
    let mut by_update = vec![0.0f32; z_all.len()];
    let mut by_candidate = by_update.clone();
    for step in (0..steps).rev() {
        let now = step * row..(step + 1) * row;
        let before = match step {
            0 => &zeros[..],
            _ => &h_all[now.start - row..now.start],
        };
        let given = grads[now.clone()].iter().zip(before);
        let gates = z_all[now.clone()].iter().zip(&g_all[now.clone()]);
        let taken = by_update[now.clone()].iter_mut();
        let taken = taken.zip(&mut by_candidate[now]);
        let all = by_state.iter_mut().zip(given).zip(gates).zip(taken);
        for (((sum, (grad, before)), (z, g)), (by_z, by_g)) in all {
            *sum += grad;
            *by_z = *sum * (g - before);
            *by_g = *sum * z;
            // What the state before gets of it.
            *sum *= 1.0 - z;
        }
    }
    (tensor(by_update, &z.dims), tensor(by_candidate, &z.dims))
}

/// Sums of `count` rows of a table for each output.
pub(super) fn embed(table: FlexTensor, ids: FlexTensor, count: usize) -> FlexTensor {
    let (table, ids) = (View::new(table), numbers(ids));
    let width = table.dims[1];
    let values = table.values::<f32>();
    let mut out = vec![0.0f32; ids.len() / count * width];
    for (out, ids) in out.chunks_exact_mut(width).zip(ids.chunks_exact(count)) {
        for &id in ids {
            let row = &values[id * width..(id + 1) * width];
            for (sum, value) in out.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
    tensor(out, &[ids.len() / count, width])
}

/// The gradient by the table.
pub(super) fn embed_backward(
    [entries, width]: [usize; 2],
    ids: FlexTensor,
    count: usize,
    grad: FlexTensor,
) -> FlexTensor {
    let (ids, grad) = (numbers(ids), View::new(grad));
    let mut out = vec![0.0f32; entries * width];
    let grads = grad.values::<f32>().chunks_exact(width);
    for (grad, ids) in grads.zip(ids.chunks_exact(count)) {
        for &id in ids {
            let row = &mut out[id * width..(id + 1) * width];
            for (sum, value) in row.iter_mut().zip(grad) {
                *sum += value;
            }
        }
    }
    tensor(out, &[entries, width])
}

/// Numbers of rows.
fn numbers(ids: FlexTensor) -> Vec<usize> {
    let ids = ids.into_data();
    ids.iter::<i64>().map(|id| id as usize).collect()
}

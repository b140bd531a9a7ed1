//! A stretch of token positions.

use crate::gpu::Tensor;
use crate::kernels::columns;

/// Positions `from..to` of x [B, T, ..].
pub(crate) fn positions(x: &Tensor, from: usize, to: usize) -> Tensor {
    let (batch, len) = (x.shape()[0], x.shape()[1]);
    if (from, to) == (0, len) {
        return x.clone();
    }
    let width: usize = x.shape()[2..].iter().product();
    let part = columns(&x.reshape(&[batch, len * width]), from * width, (to - from) * width);
    let mut shape = x.shape().to_vec();
    shape[1] = to - from;
    part.reshape(&shape)
}

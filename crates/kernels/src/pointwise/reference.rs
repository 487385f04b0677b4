//! The plainest pointwise convolution: the oracle.

use crate::window::Activation;

/// `output[m, n] = activation(sum_k input[m, k] * weights[k, n] + bias[n])`, summed in f64.
pub fn pointwise(
    [k, n]: [usize; 2],
    input: &[f32],
    weights: &[f32],
    bias: &[f32],
    activation: Activation,
) -> Vec<f32> {
    let mut output = Vec::new();
    for row in input.chunks_exact(k) {
        for column in 0..n {
            let mut sum = f64::from(bias[column]);
            for (tap, &x) in row.iter().enumerate() {
                sum += f64::from(x) * f64::from(weights[tap * n + column]);
            }
            output.push(activation.apply(sum as f32));
        }
    }
    output
}

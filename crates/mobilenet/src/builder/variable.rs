//! Variables as a network declares them: name, shape, how they start, whether training moves them.

use mobilenet_formats::{Tensor, TensorData};
use mobilenet_train::random::Random;

/// How a variable starts.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Initializer {
    /// All zero.
    Zeros,
    /// All one.
    Ones,
    /// Normal around zero, values beyond two standard deviations drawn again.
    TruncatedNormal {
        /// Standard deviation before truncation.
        stddev: f32,
    },
}

/// A float32 variable of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct VariableSpec {
    /// slim's name, without `:0`.
    pub name: String,
    /// Its shape; kernels are HWIO.
    pub shape: Vec<usize>,
    /// How it starts.
    pub initializer: Initializer,
    /// False for moving averages.
    pub trainable: bool,
}

impl VariableSpec {
    /// A fresh value, the same for the same `seed` whatever else is initialised.
    #[must_use]
    pub fn initialize(&self, seed: u64) -> Vec<f32> {
        let len = self.shape.iter().product();
        match self.initializer {
            Initializer::Zeros => vec![0.0; len],
            Initializer::Ones => vec![1.0; len],
            Initializer::TruncatedNormal { stddev } => {
                let mut random = Random::of(seed, hash_name(&self.name), 0);
                (0..len).map(|_| random.truncated_normal() as f32 * stddev).collect()
            }
        }
    }

    /// The same as a tensor.
    ///
    /// # Errors
    /// If the shape overflows.
    pub fn initial_tensor(&self, seed: u64) -> mobilenet_formats::Result<Tensor> {
        Tensor::new(self.shape.clone(), TensorData::F32(self.initialize(seed)))
    }
}

/// FNV-1a, so that a variable's stream depends on its name and nothing else.
fn hash_name(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

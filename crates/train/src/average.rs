//! Exponential moving averages of all variables, moving averages of batch norm among them: what
//! is validated and exported in the place of the values that still jump about.

use std::collections::BTreeMap;

use crate::Result;
use crate::trainer::Trainer;

/// Averages by variable name.
#[derive(Clone, Debug, PartialEq)]
pub struct Average {
    decay: f32,
    values: BTreeMap<String, Vec<f32>>,
}

impl Average {
    /// Averages that keep `decay`, in [0, 1), of themselves each step; they start as the
    /// trainer's values.
    ///
    /// # Errors
    /// If the trainer's variables cannot be read.
    pub fn new(decay: f32, trainer: &Trainer) -> Result<Self> {
        let mut values = BTreeMap::new();
        trainer.visit_variables(|name, value| {
            values.insert(name.to_owned(), value.to_vec());
        })?;
        Ok(Self { decay, values })
    }

    /// Moves them towards the trainer's values. Early on less is kept, as TensorFlow's
    /// `num_updates` has it: `(1 + steps) / (10 + steps)`.
    ///
    /// # Errors
    /// If the trainer's variables cannot be read.
    pub fn update(&mut self, trainer: &Trainer) -> Result<()> {
        let steps = trainer.steps() as f64;
        let keep = self.decay.min(((1.0 + steps) / (10.0 + steps)) as f32);
        let values = &mut self.values;
        trainer.visit_variables(|name, value| {
            let Some(average) = values.get_mut(name) else { return };
            for (average, &value) in average.iter_mut().zip(value) {
                *average -= (*average - value) * (1.0 - keep);
            }
        })
    }

    /// The averages by variable name.
    #[must_use]
    pub fn values(&self) -> &BTreeMap<String, Vec<f32>> {
        &self.values
    }

    /// Puts back what [`Average::values`] gave.
    pub fn restore(&mut self, values: BTreeMap<String, Vec<f32>>) {
        self.values = values;
    }
}

//! A network with its values as a module, ready to be written.

use mobilenet_formats::Tensor;
use mobilenet_formats::tensorflow::{HubModule, SavedModel};

use super::{MobilenetV1, VariableSpec};

impl MobilenetV1 {
    /// The module: both graphs, and every variable's value from `value`.
    ///
    /// ```
    /// use mobilenet::builder::MobilenetV1;
    ///
    /// let network = MobilenetV1 { classes: Some(10), ..MobilenetV1::new(0.25, [128, 128]) };
    /// let module = network.module(|variable| variable.initial_tensor(1))?;
    /// assert_eq!(module.variable("MobilenetV1/Logits/Conv2d_1c_1x1/biases")?.shape(), [10]);
    /// let files = module.to_files()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Whatever `value` returns.
    pub fn module(
        &self,
        mut value: impl FnMut(&VariableSpec) -> mobilenet_formats::Result<Tensor>,
    ) -> mobilenet_formats::Result<HubModule> {
        let mut model = SavedModel::default();
        model.push_meta_graph(self.inference_graph());
        model.push_meta_graph(self.training_graph());
        for variable in self.variables() {
            let tensor = value(&variable)?;
            model.set_variable(variable.name, tensor);
        }
        Ok(HubModule::new(model))
    }
}

//! The nodes of one graph, inference or training, under slim's names.
//!
//! Reads `architecture.rs`, writes `NodeDef`s; signatures and collections are `meta_graph.rs`.

use mobilenet_formats::DType;
use mobilenet_formats::tensorflow::messages::GraphDef;
use mobilenet_formats::tensorflow::messages::attr_value::Value;

use super::architecture::{Layer, LayerKind, SCOPE};
use super::node::Nodes;
use super::variable::{Initializer, VariableSpec};
use super::{BATCH_NORM_EPSILON, MobilenetV1};

/// A tensor a signature may name.
pub(super) struct EndPoint {
    /// Key in the signature, such as `MobilenetV1/Conv2d_0`.
    pub(super) key: String,
    /// Tensor name.
    pub(super) tensor: String,
    /// Shape with -1 for what is not fixed.
    pub(super) shape: Vec<i64>,
}

/// A finished graph and the names that the meta graph around it needs.
pub(super) struct Network {
    pub(super) graph_def: GraphDef,
    pub(super) images: EndPoint,
    pub(super) momentum: Option<EndPoint>,
    pub(super) end_points: Vec<EndPoint>,
    pub(super) feature_vector: EndPoint,
    pub(super) logits: Option<EndPoint>,
    pub(super) regularization_losses: Vec<String>,
    pub(super) update_ops: Vec<String>,
}

/// Writes the graph layer by layer.
pub(super) struct Writer<'a> {
    config: &'a MobilenetV1,
    training: bool,
    nodes: Nodes,
    end_points: Vec<EndPoint>,
    regularization_losses: Vec<String>,
    update_ops: Vec<String>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(config: &'a MobilenetV1, training: bool) -> Self {
        Self {
            config,
            training,
            nodes: Nodes::default(),
            end_points: Vec::new(),
            regularization_losses: Vec::new(),
            update_ops: Vec::new(),
        }
    }

    pub(super) fn write(mut self) -> Network {
        let (images, mut x) = self.input();
        let momentum = self.momentum_input();
        for layer in &self.config.layers() {
            if layer.kind != LayerKind::Classifier {
                x = self.layer(layer, &x, momentum.as_ref());
            }
        }
        let pooled = self.global_pool(&x);
        let logits = self.config.classes.map(|classes| self.classifier(&pooled, classes));
        let feature_vector = self.feature_vector(&pooled);
        Network {
            graph_def: self.nodes.into_graph_def(),
            images,
            momentum,
            end_points: self.end_points,
            feature_vector,
            logits,
            regularization_losses: self.regularization_losses,
            update_ops: self.update_ops,
        }
    }

    fn input(&mut self) -> (EndPoint, String) {
        let shape = self.shape(self.config.image_size, 3);
        let nodes = &mut self.nodes;
        let images = nodes
            .node("hub_input/images", "Placeholder", &[])
            .dtype("dtype", DType::F32)
            .shape(&shape)
            .add();
        let two = nodes.scalar("hub_input/Mul/y", 2.0);
        let doubled = nodes.float("hub_input/Mul", "Mul", &[&images, &two]).add();
        let one = nodes.scalar("hub_input/Sub/y", 1.0);
        let x = nodes.float("hub_input/Sub", "Sub", &[&doubled, &one]).add();
        (EndPoint { key: "images".to_owned(), tensor: images, shape }, x)
    }

    fn momentum_input(&mut self) -> Option<EndPoint> {
        if !self.config.configurable {
            return None;
        }
        let name = "hub_input/batch_norm_momentum";
        let default = self.nodes.scalar(format!("{name}/input"), self.config.batch_norm_momentum);
        let tensor = self
            .nodes
            .node(name, "PlaceholderWithDefault", &[&default])
            .dtype("dtype", DType::F32)
            .shape(&[])
            .add();
        Some(EndPoint { key: "batch_norm_momentum".to_owned(), tensor, shape: Vec::new() })
    }

    /// Convolution, batch norm, relu6.
    fn layer(&mut self, layer: &Layer, x: &str, momentum: Option<&EndPoint>) -> String {
        let variables = super::architecture::layer_variables(layer);
        for variable in &variables {
            self.variable(variable);
        }
        let scope = format!("{SCOPE}/{SCOPE}/{}", layer.name);
        let x = self.convolution(layer, &scope, x);
        let x = self.batch_norm(&format!("{scope}/BatchNorm"), &variables[1..], &x, momentum);
        let tensor = self.nodes.float(format!("{scope}/Relu6"), "Relu6", &[&x]).add();
        let shape = self.shape(layer.output_size, layer.output_channels);
        self.end_point(&layer.name, &tensor, shape);
        tensor
    }

    fn convolution(&mut self, layer: &Layer, scope: &str, x: &str) -> String {
        let kernel = layer.kernel_name();
        let (leaf, op) = match layer.kind {
            LayerKind::Depthwise => ("depthwise", "DepthwiseConv2dNative"),
            _ => {
                self.regularizer(scope, &kernel);
                ("Conv2D", "Conv2D")
            }
        };
        let name = format!("{scope}/{leaf}");
        let weights = self.read(format!("{name}/ReadVariableOp"), &kernel);
        self.nodes.float(name, op, &[x, &weights]).window(layer.stride).add()
    }

    fn regularizer(&mut self, scope: &str, kernel: &str) {
        let name = format!("{scope}/kernel/Regularizer/l2_regularizer");
        let scale = self.nodes.scalar(format!("{name}/scale"), self.config.l2_regularization);
        let value = self.read(format!("{name}/L2Loss/ReadVariableOp"), kernel);
        let loss = self.nodes.float(format!("{name}/L2Loss"), "L2Loss", &[&value]).add();
        let loss = self.nodes.float(name, "Mul", &[&scale, &loss]).add();
        self.regularization_losses.push(format!("{loss}:0"));
    }

    /// `variables`: gamma, beta, moving mean, moving variance.
    fn batch_norm(
        &mut self,
        scope: &str,
        variables: &[VariableSpec],
        x: &str,
        momentum: Option<&EndPoint>,
    ) -> String {
        let [gamma, beta, mean, variance] = variables else { return x.to_owned() };
        let gamma = self.read(format!("{scope}/ReadVariableOp"), &gamma.name);
        let beta = self.read(format!("{scope}/ReadVariableOp_1"), &beta.name);
        let name = format!("{scope}/FusedBatchNormV3");
        let mean_value = self.read(format!("{name}/ReadVariableOp"), &mean.name);
        let variance_value = self.read(format!("{name}/ReadVariableOp_1"), &variance.name);
        let inputs = [x, &gamma, &beta, &mean_value, &variance_value];
        let y = self
            .nodes
            .float(name.clone(), "FusedBatchNormV3", &inputs)
            .dtype("U", DType::F32)
            .attr("epsilon", Value::F(BATCH_NORM_EPSILON))
            .attr("is_training", Value::B(self.training))
            .add();
        if self.training {
            let momentum = match momentum {
                Some(input) => input.tensor.clone(),
                None => {
                    self.nodes.scalar(format!("{scope}/Const"), self.config.batch_norm_momentum)
                }
            };
            self.moving_average(
                &format!("{scope}/AssignMovingAvg"),
                &mean.name,
                &format!("{name}:1"),
                &momentum,
            );
            self.moving_average(
                &format!("{scope}/AssignMovingAvg_1"),
                &variance.name,
                &format!("{name}:2"),
                &momentum,
            );
        }
        y
    }

    /// `variable -= (variable - batch) * (1 - momentum)`.
    fn moving_average(&mut self, scope: &str, variable: &str, batch: &str, momentum: &str) {
        let one = self.nodes.scalar(format!("{scope}/sub/x"), 1.0);
        let rate = self.nodes.float(format!("{scope}/sub"), "Sub", &[&one, momentum]).add();
        let value = self.read(format!("{scope}/ReadVariableOp"), variable);
        let gap = self.nodes.float(format!("{scope}/sub_1"), "Sub", &[&value, batch]).add();
        let step = self.nodes.float(format!("{scope}/mul"), "Mul", &[&gap, &rate]).add();
        let update = self
            .nodes
            .node(format!("{scope}/AssignSubVariableOp"), "AssignSubVariableOp", &[variable, &step])
            .dtype("dtype", DType::F32)
            .add();
        self.update_ops.push(update);
    }

    fn global_pool(&mut self, x: &str) -> String {
        let name = format!("{SCOPE}/Logits/global_pool");
        let axes = self.nodes.ints(format!("{name}/reduction_indices"), &[1, 2]);
        let pooled = self
            .nodes
            .float(name, "Mean", &[x, &axes])
            .dtype("Tidx", DType::I32)
            .attr("keep_dims", Value::B(true))
            .add();
        self.end_point("global_pool", &pooled, vec![-1, 1, 1, self.features()]);
        pooled
    }

    fn classifier(&mut self, pooled: &str, classes: usize) -> EndPoint {
        let x = self.dropout(pooled);
        let layers = self.config.layers();
        let scope = format!("{SCOPE}/Logits/Conv2d_1c_1x1");
        let mut y = x;
        if let Some(layer) = layers.last() {
            for variable in &super::architecture::layer_variables(layer) {
                self.variable(variable);
            }
            y = self.convolution(layer, &scope, &y);
        }
        let biases =
            self.read(format!("{scope}/BiasAdd/ReadVariableOp"), &format!("{scope}/biases"));
        let y = self.nodes.float(format!("{scope}/BiasAdd"), "BiasAdd", &[&y, &biases]).add();
        let logits = self
            .nodes
            .float(format!("{SCOPE}/Logits/SpatialSqueeze"), "Squeeze", &[&y])
            .ints("squeeze_dims", &[1, 2])
            .add();
        let shape = vec![-1, classes as i64];
        self.end_point("Logits", &logits, shape.clone());
        self.predictions(&logits, classes);
        EndPoint { key: "default".to_owned(), tensor: logits, shape }
    }

    fn dropout(&mut self, x: &str) -> String {
        let scope = format!("{SCOPE}/Logits/Dropout_1b");
        let keep = self.config.dropout_keep_probability;
        if !self.training || keep >= 1.0 {
            return self.nodes.float(format!("{scope}/Identity"), "Identity", &[x]).add();
        }
        let scope = format!("{scope}/dropout");
        let nodes = &mut self.nodes;
        let scale = nodes.scalar(format!("{scope}/Const"), 1.0 / keep);
        let scaled = nodes.float(format!("{scope}/Mul"), "Mul", &[x, &scale]).add();
        let shape = nodes
            .float(format!("{scope}/Shape"), "Shape", &[x])
            .dtype("out_type", DType::I32)
            .add();
        let random = nodes
            .node(format!("{scope}/random_uniform/RandomUniform"), "RandomUniform", &[&shape])
            .dtype("T", DType::I32)
            .dtype("dtype", DType::F32)
            .add();
        let threshold = nodes.scalar(format!("{scope}/GreaterEqual/y"), 1.0 - keep);
        let kept = nodes
            .float(format!("{scope}/GreaterEqual"), "GreaterEqual", &[&random, &threshold])
            .add();
        let zero = nodes.scalar(format!("{scope}/Const_1"), 0.0);
        nodes.float(format!("{scope}/SelectV2"), "SelectV2", &[&kept, &scaled, &zero]).add()
    }

    fn predictions(&mut self, logits: &str, classes: usize) {
        let scope = format!("{SCOPE}/Predictions");
        let nodes = &mut self.nodes;
        let rows = nodes.ints(format!("{scope}/Reshape/shape"), &[-1, classes as i32]);
        let flat = nodes
            .float(format!("{scope}/Reshape"), "Reshape", &[logits, &rows])
            .dtype("Tshape", DType::I32)
            .add();
        let softmax = nodes.float(format!("{scope}/Softmax"), "Softmax", &[&flat]).add();
        let shape = nodes
            .float(format!("{scope}/Shape"), "Shape", &[logits])
            .dtype("out_type", DType::I32)
            .add();
        let predictions = nodes
            .float(format!("{scope}/Reshape_1"), "Reshape", &[&softmax, &shape])
            .dtype("Tshape", DType::I32)
            .add();
        self.end_point("Predictions", &predictions, vec![-1, classes as i64]);
    }

    fn feature_vector(&mut self, pooled: &str) -> EndPoint {
        let tensor = self
            .nodes
            .float("hub_output/feature_vector/SpatialSqueeze", "Squeeze", &[pooled])
            .ints("squeeze_dims", &[1, 2])
            .add();
        EndPoint { key: "default".to_owned(), tensor, shape: vec![-1, self.features()] }
    }

    /// Handle, initialiser, assignment and read of a resource variable.
    fn variable(&mut self, variable: &VariableSpec) {
        let name = &variable.name;
        let shape: Vec<i64> = variable.shape.iter().map(|&extent| extent as i64).collect();
        let initial = self.initial_value(variable);
        let nodes = &mut self.nodes;
        nodes
            .node(name, "VarHandleOp", &[])
            .dtype("dtype", DType::F32)
            .shape(&shape)
            .string("shared_name", name)
            .add();
        nodes
            .node(format!("{name}/IsInitialized/VarIsInitializedOp"), "VarIsInitializedOp", &[name])
            .add();
        nodes
            .node(format!("{name}/Assign"), "AssignVariableOp", &[name, &initial])
            .dtype("dtype", DType::F32)
            .add();
        self.read(format!("{name}/Read/ReadVariableOp"), name);
    }

    fn initial_value(&mut self, variable: &VariableSpec) -> String {
        let scope = initial_value_name(variable);
        let nodes = &mut self.nodes;
        match variable.initializer {
            Initializer::Zeros => nodes.fill(scope, &variable.shape, 0.0),
            Initializer::Ones => nodes.fill(scope, &variable.shape, 1.0),
            Initializer::TruncatedNormal { stddev } => {
                let extents: Vec<i32> =
                    variable.shape.iter().map(|&extent| extent as i32).collect();
                let shape = nodes.ints(format!("{scope}/shape"), &extents);
                let mean = nodes.scalar(format!("{scope}/mean"), 0.0);
                let stddev = nodes.scalar(format!("{scope}/stddev"), stddev);
                let normal = nodes
                    .node(format!("{scope}/TruncatedNormal"), "TruncatedNormal", &[&shape])
                    .dtype("T", DType::I32)
                    .dtype("dtype", DType::F32)
                    .add();
                let scaled = nodes.float(format!("{scope}/mul"), "Mul", &[&normal, &stddev]).add();
                nodes.float(scope, "Add", &[&scaled, &mean]).add()
            }
        }
    }

    fn read(&mut self, name: String, variable: &str) -> String {
        self.nodes.node(name, "ReadVariableOp", &[variable]).dtype("dtype", DType::F32).add()
    }

    fn end_point(&mut self, key: &str, tensor: &str, shape: Vec<i64>) {
        let key = format!("{SCOPE}/{key}");
        self.end_points.push(EndPoint { key, tensor: tensor.to_owned(), shape });
    }

    fn features(&self) -> i64 {
        self.config.feature_channels() as i64
    }

    /// `[n, height, width, channels]`, with -1 for what the module leaves open.
    fn shape(&self, size: [usize; 2], channels: usize) -> Vec<i64> {
        let [height, width] =
            size.map(|extent| if self.config.configurable { -1 } else { extent as i64 });
        vec![-1, height, width, channels as i64]
    }
}

/// The node that computes a variable's first value.
pub(super) fn initial_value_name(variable: &VariableSpec) -> String {
    let leaf = match variable.initializer {
        Initializer::Zeros => "zeros",
        Initializer::Ones => "ones",
        Initializer::TruncatedNormal { .. } => "truncated_normal",
    };
    format!("{}/Initializer/{leaf}", variable.name)
}

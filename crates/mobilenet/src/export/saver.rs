//! The nodes with which TensorFlow restores the variables of a SavedModel, and saves them again:
//! what `tf.train.Saver` adds to a graph, for a graph that is not TensorFlow's own.

use mobilenet_formats::DType;
use mobilenet_formats::tensorflow::messages::{
    GraphDef, MetaGraphDef, NodeDef, SaverDef, TensorProto, attr_value::ListValue,
    attr_value::Value,
};

use crate::builder::node::{Nodes, shape_proto};

/// A variable's node, and whether it is a resource.
struct Variable {
    node: String,
    /// The name in the checkpoint.
    name: String,
    resource: bool,
    dtype: DType,
}

/// `saver.proto`: version 2 of checkpoints.
const VERSION: i32 = 2;

/// Adds the nodes, and the `SaverDef` that names them.
pub(super) fn add(graph: &mut MetaGraphDef) {
    let Some(def) = &mut graph.graph_def else { return };
    let scope = free_scope(def);
    let variables: Vec<Variable> = def.node.iter().filter_map(variable).collect();
    let name = |leaf: &str| format!("{scope}/{leaf}");
    let mut nodes = Nodes::default();
    let text = nodes.text(name("filename/input"), &["model"], true);
    let file = nodes.with_default(name("filename"), &text);
    let prefix = nodes.with_default(name("Const"), &file);
    let names: Vec<&str> = variables.iter().map(|variable| variable.name.as_str()).collect();
    let all = vec![""; names.len()];
    let dtypes = || variables.iter().map(|variable| variable.dtype.to_tensorflow()).collect();
    let types = || {
        let list: Vec<i32> = dtypes();
        Value::List(Box::new(ListValue { r#type: list, ..ListValue::default() }))
    };

    let keys = nodes.text(name("SaveV2/tensor_names"), &names, false);
    let slices = nodes.text(name("SaveV2/shape_and_slices"), &all, false);
    let mut saved = vec![prefix.clone(), keys, slices];
    for variable in &variables {
        saved.push(match variable.resource {
            true => nodes
                .node(
                    name(&format!("SaveV2/{}/Read", variable.node)),
                    "ReadVariableOp",
                    &[&variable.node],
                )
                .dtype("dtype", variable.dtype)
                .add(),
            false => variable.node.clone(),
        });
    }
    let saved: Vec<&str> = saved.iter().map(String::as_str).collect();
    let save = nodes.node(name("SaveV2"), "SaveV2", &saved).attr("dtypes", types()).add();
    let after = format!("^{save}");
    nodes
        .node(name("control_dependency"), "Identity", &[&prefix, &after])
        .dtype("T", DType::String)
        .add();

    let keys = nodes.text(name("RestoreV2/tensor_names"), &names, false);
    let slices = nodes.text(name("RestoreV2/shape_and_slices"), &all, false);
    let inputs = [prefix.as_str(), &keys, &slices];
    let restored =
        nodes.node(name("RestoreV2"), "RestoreV2", &inputs).attr("dtypes", types()).add();
    let mut assigned = Vec::new();
    for (port, variable) in variables.iter().enumerate() {
        let value = match port {
            0 => restored.clone(),
            port => format!("{restored}:{port}"),
        };
        let inputs = [variable.node.as_str(), &value];
        let at = |op: &str| name(&format!("{op}_{port}"));
        let assign = match variable.resource {
            true => nodes
                .node(at("AssignVariableOp"), "AssignVariableOp", &inputs)
                .dtype("dtype", variable.dtype)
                .add(),
            false => nodes.node(at("Assign"), "Assign", &inputs).dtype("T", variable.dtype).add(),
        };
        assigned.push(format!("^{assign}"));
    }
    let assigned: Vec<&str> = assigned.iter().map(String::as_str).collect();
    nodes.node(name("restore_all"), "NoOp", &assigned).add();
    def.node.extend(nodes.into_graph_def().node);
    graph.saver_def = Some(SaverDef {
        filename_tensor_name: format!("{}:0", name("Const")),
        save_tensor_name: format!("{}:0", name("control_dependency")),
        restore_op_name: name("restore_all"),
        max_to_keep: 5,
        sharded: false,
        keep_checkpoint_every_n_hours: 10_000.0,
        version: VERSION,
    });
}

fn variable(node: &NodeDef) -> Option<Variable> {
    let resource = match node.op.as_str() {
        "VarHandleOp" => true,
        "VariableV2" | "Variable" => false,
        _ => return None,
    };
    let dtype = match node.attr.get("dtype")?.value {
        Some(Value::Type(dtype)) => DType::from_tensorflow(dtype)?,
        _ => return None,
    };
    let name = super::frozen::variable(node);
    Some(Variable { node: node.name.clone(), name, resource, dtype })
}

/// `save`, or with a number where the graph has such nodes.
fn free_scope(graph: &GraphDef) -> String {
    let taken =
        |scope: &str| graph.node.iter().any(|node| node.name.starts_with(&format!("{scope}/")));
    let numbered = (1..).map(|number| format!("save_{number}"));
    std::iter::once("save".to_owned())
        .chain(numbered)
        .find(|scope| !taken(scope))
        .unwrap_or_default()
}

impl Nodes {
    /// A constant of strings; a scalar if there is only one and `scalar` says so.
    fn text(&mut self, name: String, values: &[&str], scalar: bool) -> String {
        let shape: Vec<i64> = if scalar { Vec::new() } else { vec![values.len() as i64] };
        let value = TensorProto {
            dtype: DType::String.to_tensorflow(),
            tensor_shape: Some(shape_proto(&shape)),
            string_val: values.iter().map(|value| value.as_bytes().to_vec()).collect(),
            ..TensorProto::default()
        };
        let node = self.node(name, "Const", &[]).dtype("dtype", DType::String);
        node.attr("value", Value::Tensor(Box::new(value))).add()
    }

    /// A string that callers may feed.
    fn with_default(&mut self, name: String, default: &str) -> String {
        let node = self.node(name, "PlaceholderWithDefault", &[default]);
        node.dtype("dtype", DType::String).shape(&[]).add()
    }
}

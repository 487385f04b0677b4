//! [`Graph`] → `GraphDef`: what was read goes back unchanged.

use mobilenet_formats::tensorflow::messages::{GraphDef, NodeDef};

use super::{Graph, Node, TensorId};

impl Graph {
    /// The graph as TensorFlow's message: importing and exporting a graph keeps everything.
    pub fn to_graph_def(&self) -> GraphDef {
        let node = self.nodes.iter().map(|node| self.node_def(node)).collect();
        GraphDef { node, ..self.extras.rest.clone() }
    }

    fn node_def(&self, node: &Node) -> NodeDef {
        let data = node.inputs.iter().map(|&tensor| self.input_name(tensor));
        let controls = node.controls.iter().map(|&id| format!("^{}", self.node(id).name));
        NodeDef {
            name: node.name.clone(),
            op: node.op_name.clone(),
            input: data.chain(controls).collect(),
            attr: node.attributes.as_map().clone(),
            ..(*node.extras).clone()
        }
    }

    /// As `NodeDef.input` has it: port 0 goes without saying.
    fn input_name(&self, tensor: TensorId) -> String {
        match tensor.port {
            0 => self.node(tensor.node).name.clone(),
            _ => self.tensor_name(tensor),
        }
    }
}

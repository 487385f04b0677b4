//! Convolutions that TensorFlow's optimiser, and the converter of TensorFlow.js, wrote as one node
//! with what follows them: `_FusedConv2D` and its like become the ops they are made of.

use mobilenet_formats::tensorflow::messages::{AttrValue, GraphDef, NodeDef, attr_value::Value};

/// The fused op, and the op that comes first in it.
const FUSED: [(&str, &str); 4] = [
    ("_FusedConv2D", "Conv2D"),
    ("_FusedDepthwiseConv2dNative", "DepthwiseConv2dNative"),
    ("FusedDepthwiseConv2dNative", "DepthwiseConv2dNative"),
    ("_FusedMatMul", "MatMul"),
];

/// Attributes that are the fused op's alone.
const OWN: [&str; 6] =
    ["fused_ops", "num_args", "epsilon", "leakyrelu_alpha", "TArgs", "num_host_args"];

/// Writes out every fused node that is known whole; the last of its ops keeps its name. Others stay,
/// and are refused by name when they are to run.
pub(super) fn write_out(graph: &mut GraphDef) {
    let mut nodes = Vec::with_capacity(graph.node.len());
    for node in std::mem::take(&mut graph.node) {
        match parts(&node) {
            Some(parts) => nodes.extend(parts),
            None => nodes.push(node),
        }
    }
    graph.node = nodes;
}

fn parts(node: &NodeDef) -> Option<Vec<NodeDef>> {
    let (_, first) = FUSED.iter().find(|(fused, _)| *fused == node.op)?;
    let Some(Value::List(list)) = &node.attr.get("fused_ops")?.value else { return None };
    let ops: Vec<&str> = list.s.iter().filter_map(|op| std::str::from_utf8(op).ok()).collect();
    let data: Vec<&String> = node.input.iter().filter(|input| !input.starts_with('^')).collect();
    let (inputs, mut arguments) = (data.get(..2)?, data.get(2..)?.iter());
    let dtype = node.attr.get("T")?.clone();
    let attr = node.attr.iter().filter(|(key, _)| !OWN.contains(&key.as_str()));
    let mut parts = vec![NodeDef {
        name: format!("{}/{first}", node.name),
        op: (*first).to_owned(),
        input: inputs.iter().map(|&input| input.clone()).collect(),
        attr: attr.map(|(key, value)| (key.clone(), value.clone())).collect(),
        ..NodeDef::default()
    }];
    for op in ops {
        let mut input = vec![parts.last()?.name.clone()];
        match op {
            "BiasAdd" => input.push((*arguments.next()?).clone()),
            "Relu" | "Relu6" => {}
            _ => return None,
        }
        parts.push(NodeDef {
            name: format!("{}/{op}", node.name),
            op: op.to_owned(),
            input,
            attr: [("T".to_owned(), AttrValue { value: dtype.value.clone() })].into(),
            ..NodeDef::default()
        });
    }
    parts.last_mut()?.name.clone_from(&node.name);
    arguments.next().is_none().then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mobilenet_formats::DType;
    use mobilenet_formats::tensorflow::messages::attr_value::ListValue;

    fn fused(ops: &[&str], inputs: &[&str]) -> NodeDef {
        let list = ListValue {
            s: ops.iter().map(|op| op.as_bytes().to_vec()).collect(),
            ..ListValue::default()
        };
        let value = |value| AttrValue { value: Some(value) };
        NodeDef {
            name: "conv".into(),
            op: "_FusedConv2D".into(),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            attr: [
                ("T".to_owned(), value(Value::Type(DType::F32.to_tensorflow()))),
                ("fused_ops".to_owned(), value(Value::List(list.into()))),
                ("padding".to_owned(), value(Value::S(b"SAME".to_vec()))),
            ]
            .into(),
            ..NodeDef::default()
        }
    }

    #[test]
    fn the_last_op_keeps_the_name() {
        let node = fused(&["BiasAdd", "Relu6"], &["x", "w", "b"]);
        let mut graph = GraphDef { node: vec![node], ..GraphDef::default() };
        write_out(&mut graph);
        let shown: Vec<_> = graph
            .node
            .iter()
            .map(|node| format!("{} {} {}", node.name, node.op, node.input.join(" ")))
            .collect();
        let expected = [
            "conv/Conv2D Conv2D x w",
            "conv/BiasAdd BiasAdd conv/Conv2D b",
            "conv Relu6 conv/BiasAdd",
        ];
        assert_eq!(shown, expected);
        assert!(graph.node[0].attr.contains_key("padding"));
    }

    #[test]
    fn what_is_not_known_stays() {
        for node in [
            fused(&["BiasAdd", "Elu"], &["x", "w", "b"]),
            fused(&["BiasAdd"], &["x", "w"]),
            fused(&["BiasAdd"], &["x", "w", "b", "c"]),
        ] {
            let mut graph = GraphDef { node: vec![node.clone()], ..GraphDef::default() };
            write_out(&mut graph);
            assert_eq!(graph.node, [node]);
        }
    }
}

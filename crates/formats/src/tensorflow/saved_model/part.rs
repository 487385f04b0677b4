//! The part of a serialised graph that some tensors need: whoever runs one signature decodes no
//! more than that.
//!
//! Nodes are cut out as they are, but for attributes that are notes of TensorFlow to itself
//! (`_output_shapes`, `_class`: half of all bytes). What is wrong with the others (doubled names,
//! inputs that do not exist) shows when the whole graph is decoded.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use prost::Message as _;

use crate::Result;
use crate::tensorflow::messages::GraphDef;
use crate::wire;

/// `GraphDef.node`, `GraphDef.version` and `GraphDef.versions`
const NODE: u64 = 1;
const VERSION: u64 = 3;
const VERSIONS: u64 = 4;
/// `NodeDef.name`, `NodeDef.input` and `NodeDef.attr`
const NAME: u64 = 1;
const INPUT: u64 = 3;
const ATTR: u64 = 5;
/// The key of an entry of `NodeDef.attr`
const KEY: u64 = 1;

/// The nodes of `graph` that `tensors` (`node` or `node:port`) need, through data and control
/// inputs, in the order of the file, with the graph's versions and no library. Names that do not
/// exist are left to who looks for them.
pub(super) fn needed(graph: &[u8], tensors: &[&str]) -> Result<GraphDef> {
    let (mut nodes, mut others) = (Vec::new(), Vec::new());
    for field in wire::fields(graph) {
        let field = field?;
        match field.number {
            NODE => nodes.push(field),
            VERSION | VERSIONS => others.push(field.whole),
            _ => {}
        }
    }
    let mut names = Names::with_capacity(nodes.len());
    for node in &nodes {
        names.add(node.content)?;
    }
    let needed = names.needed(tensors);
    let (mut part, mut pieces) = (Vec::new(), Vec::new());
    for (node, _) in nodes.iter().zip(&needed).filter(|(_, needed)| **needed) {
        pieces.clear();
        for field in wire::fields(node.content) {
            let field = field?;
            if field.number != ATTR || !is_note(field.content) {
                pieces.push(field.whole);
            }
        }
        wire::push_varint(&mut part, NODE << 3 | 2);
        wire::push_varint(&mut part, pieces.iter().map(|piece| piece.len() as u64).sum());
        pieces.iter().for_each(|piece| part.extend_from_slice(piece));
    }
    others.iter().for_each(|field| part.extend_from_slice(field));
    Ok(GraphDef::decode(Bytes::from(part))?)
}

/// Whether an entry of a node's attributes has a name that begins with `_`.
fn is_note(entry: &[u8]) -> bool {
    let mut fields = wire::fields(entry).map_while(Result::ok);
    fields.any(|field| field.number == KEY && field.content.first() == Some(&b'_'))
}

/// Names and inputs of a graph's nodes.
struct Names<'a> {
    /// For each node, where its inputs are.
    nodes: Vec<Range<usize>>,
    inputs: Vec<&'a [u8]>,
    by_name: HashMap<&'a [u8], usize>,
    /// Nodes whose name another one has: both are kept, so that the import finds them.
    doubled: Vec<(usize, usize)>,
}

impl<'a> Names<'a> {
    fn with_capacity(nodes: usize) -> Self {
        Names {
            nodes: Vec::with_capacity(nodes),
            inputs: Vec::with_capacity(2 * nodes),
            by_name: HashMap::with_capacity(nodes),
            doubled: Vec::new(),
        }
    }

    fn add(&mut self, node: &'a [u8]) -> Result<()> {
        let (first, index) = (self.inputs.len(), self.nodes.len());
        let mut name: &[u8] = &[];
        for field in wire::fields(node) {
            let field = field?;
            match field.number {
                NAME => name = field.content,
                INPUT => self.inputs.push(node_of(field.content)),
                _ => {}
            }
        }
        self.nodes.push(first..self.inputs.len());
        if let Some(other) = self.by_name.insert(name, index) {
            self.doubled.push((other, index));
        }
        Ok(())
    }

    /// For each node, whether it is needed.
    fn needed(&self, tensors: &[&str]) -> Vec<bool> {
        let mut needed = vec![false; self.nodes.len()];
        let mut names: Vec<&[u8]> =
            tensors.iter().map(|tensor| node_of(tensor.as_bytes())).collect();
        while let Some(name) = names.pop() {
            let Some(&index) = self.by_name.get(name) else { continue };
            let (Some(seen), Some(inputs)) = (needed.get_mut(index), self.nodes.get(index)) else {
                continue;
            };
            if !std::mem::replace(seen, true) {
                names.extend(self.inputs.get(inputs.clone()).unwrap_or_default());
            }
        }
        for &(other, index) in self.doubled.iter().rev() {
            if needed.get(index) == Some(&true)
                && let Some(other) = needed.get_mut(other)
            {
                *other = true;
            }
        }
        needed
    }
}

/// The node of an input: `node`, `node:port` or `^node`.
fn node_of(input: &[u8]) -> &[u8] {
    let input = input.strip_prefix(b"^").unwrap_or(input);
    match input.iter().rposition(|&byte| byte == b':') {
        Some(colon) => input.get(..colon).unwrap_or(input),
        None => input,
    }
}

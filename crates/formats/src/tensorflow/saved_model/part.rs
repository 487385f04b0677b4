//! The part of a serialised graph that some tensors need: whoever runs one signature decodes no
//! more than that.
//!
//! Nodes are cut out as they are. What is wrong with the others (doubled names, inputs that do not
//! exist) shows when the whole graph is decoded.

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
/// `NodeDef.name` and `NodeDef.input`
const NAME: u64 = 1;
const INPUT: u64 = 3;

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
    let pieces = nodes.iter().zip(&needed).filter(|(_, needed)| **needed);
    let pieces: Vec<&[u8]> = pieces.map(|(node, _)| node.whole).chain(others).collect();
    Ok(GraphDef::decode(Bytes::from(pieces.concat()))?)
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

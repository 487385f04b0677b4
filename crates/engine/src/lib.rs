//! Graphs, plans and sessions: what a model means and how it runs.
//!
//! [`Graph::import`] reads a `GraphDef` into typed ops with facts; [`Plan::compile`] takes the
//! part that some outputs need, folds, fuses, chooses kernels and plans memory; a [`Session`]
//! runs it. There are no files, images or labels here, and no SIMD: `mobilenet-formats` reads
//! bytes, `mobilenet-kernels` computes.

mod attributes;
mod differentiate;
mod error;
mod facts;
mod fold;
mod freeze;
mod graph;
mod lower;
mod ops;
mod passes;
mod plan;
mod program;
mod reference;
mod session;
mod steps;
mod window;

pub mod interpret;

pub use attributes::Attributes;
pub use differentiate::{differentiable_ops, differentiate};
pub use error::{Error, ErrorKind, Result};
pub use facts::{Fact, MAX_ELEMENTS, Shape, Variable};
pub use fold::Variables;
pub use freeze::freeze;
pub use graph::{Graph, Node, NodeId, TensorId};
pub use ops::known_ops;
pub use plan::{Plan, PlanOptions, Port, StepInfo, Summary};
pub use session::{Elements, Session, TensorView};

pub use mobilenet_kernels::{Isa, Pool, Precision, Tunable, Tuning};

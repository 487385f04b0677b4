//! Ops the table does not know: kept, exported, never run.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::Op;
use crate::error::{Error, Result};
use crate::facts::Fact;
use crate::lower::Lowering;

#[derive(Debug)]
pub(super) struct Opaque {
    ports: usize,
}

impl Opaque {
    pub(super) fn with_ports(ports: usize) -> Arc<dyn Op> {
        Arc::new(Self { ports })
    }
}

impl Op for Opaque {
    fn arity(&self) -> RangeInclusive<usize> {
        0..=usize::MAX
    }

    fn infer(&self, _inputs: &[Fact]) -> Result<Vec<Fact>> {
        Ok(vec![Fact::unknown(); self.ports])
    }

    fn lower(&self, _lowering: &mut Lowering<'_>) -> Result<()> {
        Err(Error::unsupported("this engine does not know the op; ask for outputs without it"))
    }
}

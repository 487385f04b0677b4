//! Plans that were compiled, by what they compute. Calling a module twice in the same way
//! compiles once; after that a call takes an idle session, and makes one only when all are busy.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mobilenet_engine::{ErrorKind, Plan, Session, Shape};
use mobilenet_formats::{DType, Tensor};
use mobilenet_kernels::Pool;

use crate::error::Result;
use crate::module::missing;
use crate::signature::{Port, Signature};

/// Plans that are kept; each holds packed weights.
const KEPT: usize = 8;

/// Idle sessions that are kept for each plan; each holds an arena.
const IDLE: usize = 4;

/// What a plan computes from what.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    /// Names of tensors with shapes. The number of images is unknown where any will do.
    pub(crate) inputs: Vec<(String, Shape)>,
    /// Those of them that are pictures of floats and given as bytes.
    pub(crate) bytes: Vec<String>,
    pub(crate) outputs: Vec<String>,
}

impl Key {
    /// The outputs `keys` of `signature`, for inputs of these types and shapes.
    pub(crate) fn new(
        signature: &Signature,
        keys: &[&str],
        inputs: &[(&Port, DType, &[usize])],
    ) -> Result<Key> {
        let tensor = |key: &&str| {
            let there = signature.outputs.iter().map(|port| port.key.as_str());
            let what = format!("output of signature `{}`", signature.name);
            let port = signature.output(key).ok_or_else(|| missing(&what, key, there))?;
            Ok(port.tensor.clone())
        };
        let input =
            |&(port, _, shape): &(&Port, _, &[usize])| (port.tensor.clone(), Shape::known(shape));
        let bytes = inputs.iter().filter(|(port, dtype, _)| *dtype != port.dtype);
        Ok(Key {
            inputs: inputs.iter().map(input).collect(),
            bytes: bytes.map(|(port, ..)| port.tensor.clone()).collect(),
            outputs: keys.iter().map(tensor).collect::<Result<_>>()?,
        })
    }

    /// For any number of images.
    fn any_batch(&self) -> Key {
        let inputs = self.inputs.iter().map(|(name, shape)| {
            let shape = match shape.dims() {
                Some([_, rest @ ..]) if rest.len() == 3 => {
                    Shape::new(std::iter::once(None).chain(rest.iter().copied()).collect())
                }
                _ => shape.clone(),
            };
            (name.clone(), shape)
        });
        Key { inputs: inputs.collect(), ..self.clone() }
    }
}

/// A plan and its idle sessions.
pub(crate) struct Prepared {
    plan: Arc<Plan>,
    idle: Mutex<Vec<Session>>,
}

impl Prepared {
    /// The plan.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan)
    }

    /// Runs it once.
    pub(crate) fn call(&self, pool: &Arc<Pool>, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let idle = lock(&self.idle).pop();
        let mut session =
            idle.unwrap_or_else(|| Session::new(Arc::clone(&self.plan), Arc::clone(pool)));
        let outputs = session.call(inputs)?;
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE {
            idle.push(session);
        }
        Ok(outputs)
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// The plans of a module, most recently used last.
#[derive(Debug, Default)]
pub(crate) struct Plans(Mutex<Vec<(Key, Arc<Prepared>)>>);

impl Plans {
    /// The plan of `key`, made with `compile` if there is none. A graph that treats images one by
    /// one gets a plan for any number of them; another (training, batch statistics) gets one for
    /// just this number.
    pub(crate) fn get(
        &self,
        key: &Key,
        compile: impl Fn(&Key) -> Result<mobilenet_engine::Result<Plan>>,
    ) -> Result<Arc<Prepared>> {
        let mut plans = lock(&self.0);
        let any = key.any_batch();
        if let Some(at) = plans.iter().position(|(known, _)| *known == any || known == key) {
            let found = plans.remove(at);
            let prepared = Arc::clone(&found.1);
            plans.push(found);
            return Ok(prepared);
        }
        let (key, plan) = match compile(&any)? {
            Err(error) if error.kind() == ErrorKind::Unsupported => (key.clone(), compile(key)??),
            plan => (any, plan?),
        };
        let prepared = Arc::new(Prepared { plan: Arc::new(plan), idle: Mutex::default() });
        if plans.len() == KEPT {
            plans.remove(0);
        }
        plans.push((key, Arc::clone(&prepared)));
        Ok(prepared)
    }
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

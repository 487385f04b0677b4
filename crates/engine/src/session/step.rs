//! Running one step: its operands are carved out of the arena, disjoint by construction and
//! checked again here.

use std::ops::Range;

use mobilenet_kernels::Pool;

use super::arena::AlignedBytes;
use super::view::TensorView;
use crate::error::{Error, Result};
use crate::plan::{Place, Plan, PlannedStep};
use crate::session::view;
use crate::steps::{Call, MOST_OPERANDS};

/// What all steps of one run share.
pub(super) struct Context<'a> {
    pub(super) inputs: &'a [TensorView<'a>],
    /// The first image of this run within the inputs.
    pub(super) first: usize,
    pub(super) pool: &'a Pool,
    pub(super) run: u64,
    pub(super) seed: u64,
}

/// All steps for one image; the outputs go to `row`, one behind the other.
pub(super) fn run_all(
    plan: &Plan,
    context: &Context<'_>,
    arena: &mut [u8],
    row: &mut [u8],
) -> Result<()> {
    for step in &plan.steps {
        run(step, context, arena, &mut [])?;
    }
    let mut rest = row;
    for place in &plan.output_places {
        if let Place::Arena { offset, bytes } = *place {
            let (own, tail) = rest.split_at_mut(bytes);
            own.copy_from_slice(&arena[offset..offset + bytes]);
            rest = tail;
        }
    }
    Ok(())
}

/// Bytes of all outputs for one image.
pub(super) fn row_bytes(places: &[Place]) -> usize {
    places.iter().map(|place| if let Place::Arena { bytes, .. } = place { *bytes } else { 0 }).sum()
}

/// From image by image to output by output.
pub(super) fn gather(places: &[Place], rows: &[u8], gathered: &mut [AlignedBytes], images: usize) {
    let row = row_bytes(places);
    let mut at = 0;
    for (place, out) in places.iter().zip(gathered) {
        let Place::Arena { bytes, .. } = *place else { continue };
        out.resize(bytes * images);
        let targets = out.get_mut().chunks_exact_mut(bytes.max(1));
        for (target, row) in targets.zip(rows.chunks_exact(row.max(1))) {
            target.copy_from_slice(&row[at..at + bytes]);
        }
        at += bytes;
    }
}

/// Runs one step.
pub(super) fn run(
    step: &PlannedStep,
    context: &Context<'_>,
    arena: &mut [u8],
    states: &mut [AlignedBytes],
) -> Result<()> {
    if step.inputs.len() + step.outputs.len() <= 3 {
        carve::<4>(step, context, arena, states)
    } else {
        carve::<{ 2 * MOST_OPERANDS + 1 }>(step, context, arena, states)
    }
}

/// Takes the ranges of at most `N` operands out of the arena at once.
fn carve<const N: usize>(
    step: &PlannedStep,
    context: &Context<'_>,
    arena: &mut [u8],
    states: &mut [AlignedBytes],
) -> Result<()> {
    let mut ranges: [Range<usize>; N] = std::array::from_fn(|_| 0..0);
    let mut slots = [usize::MAX; MOST_OPERANDS];
    let mut used = 0;
    for (i, place) in step.inputs.iter().enumerate() {
        let Some(range) = arena_range(place) else { continue };
        // Two operands may be one value.
        let known = ranges[..used].iter().position(|other| *other == range && !range.is_empty());
        slots[i] = known.unwrap_or_else(|| {
            ranges[used] = range;
            used += 1;
            used - 1
        });
    }
    let first_output = used;
    for range in step.outputs.iter().filter_map(arena_range) {
        ranges[used] = range;
        used += 1;
    }
    ranges[used] = step.scratch.clone();
    let mut parts = arena
        .get_disjoint_mut(ranges)
        .map_err(|_| Error::invalid("operands overlap in the arena"))?
        .map(Some);
    let scratch = take(&mut parts, used);
    let mut outputs: [&mut [u8]; MOST_OPERANDS] = std::array::from_fn(|_| &mut [][..]);
    let mut slot = first_output;
    let mut written = None;
    for (output, place) in outputs.iter_mut().zip(&step.outputs) {
        match place {
            Place::Arena { .. } => {
                *output = take(&mut parts, slot);
                slot += 1;
            }
            Place::State(state) => written = Some(*state),
            Place::Input { .. } | Place::Constant(_) => {}
        }
    }
    let (states, own) = split_states(states, written);
    if let (Some(own), Some(index)) =
        (own, step.outputs.iter().position(|place| matches!(place, Place::State(_))))
    {
        outputs[index] = own.get_mut();
    }
    let mut inputs: [&[u8]; MOST_OPERANDS] = [&[]; MOST_OPERANDS];
    for (i, (input, place)) in inputs.iter_mut().zip(&step.inputs).enumerate() {
        *input = match place {
            Place::Arena { .. } => parts[slots[i]].as_deref().unwrap_or_default(),
            Place::Input { index, bytes } => input_bytes(context, *index, *bytes)?,
            Place::Constant(tensor) => view::TensorView::of(tensor)?.elements.bytes(),
            Place::State(state) => states
                .get(*state)
                .ok_or_else(|| Error::invalid("a step reads the variable it changes"))?,
        };
    }
    step.kernel.run(&mut Call {
        pool: context.pool,
        run: context.run,
        seed: context.seed,
        inputs,
        outputs,
        scratch,
    })
}

fn take<'a>(parts: &mut [Option<&'a mut [u8]>], index: usize) -> &'a mut [u8] {
    parts.get_mut(index).and_then(Option::take).unwrap_or_default()
}

fn arena_range(place: &Place) -> Option<Range<usize>> {
    match *place {
        Place::Arena { offset, bytes } => Some(offset..offset + bytes),
        _ => None,
    }
}

/// The caller's bytes for the images of this run.
fn input_bytes<'a>(context: &Context<'a>, index: usize, bytes: usize) -> Result<&'a [u8]> {
    let all = context.inputs.get(index).map(|view| view.elements.bytes()).unwrap_or_default();
    let start = context.first.saturating_mul(bytes);
    all.get(start..start.saturating_add(bytes))
        .ok_or_else(|| Error::input(format!("input {index} is too short")))
}

/// The session's variables but the one that a step changes.
struct Others<'a> {
    before: &'a [AlignedBytes],
    after: &'a [AlignedBytes],
}

impl<'a> Others<'a> {
    fn get(&self, index: usize) -> Option<&'a [u8]> {
        let state = match index.checked_sub(self.before.len()) {
            None => self.before.get(index),
            Some(0) => None,
            Some(beyond) => self.after.get(beyond - 1),
        };
        state.map(AlignedBytes::get)
    }
}

/// Takes the variable `written` out; without one, all are others.
fn split_states(
    states: &mut [AlignedBytes],
    written: Option<usize>,
) -> (Others<'_>, Option<&mut AlignedBytes>) {
    match written {
        Some(index) if index < states.len() => {
            let (before, rest) = states.split_at_mut(index);
            match rest.split_first_mut() {
                Some((own, after)) => (Others { before, after }, Some(own)),
                None => (Others { before, after: &[] }, None),
            }
        }
        _ => (Others { before: states, after: &[] }, None),
    }
}

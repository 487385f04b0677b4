//! One arena for all values: values that do not live at the same time share bytes.

use std::ops::Range;

/// Every offset is a multiple of this: a cache line, and the widest vector.
pub(crate) const ALIGNMENT: usize = 64;

/// Something that needs bytes from step `first` to step `last`, both included.
#[derive(Clone, Debug)]
pub(crate) struct Need {
    pub(crate) bytes: usize,
    pub(crate) first: usize,
    pub(crate) last: usize,
}

/// An offset for each need, and the bytes in all; `None` where they overflow.
///
/// Largest first, each at the lowest offset that is free for as long as it lives.
pub(crate) fn place(needs: &[Need]) -> Option<(Vec<usize>, usize)> {
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(needs[i].bytes), i));
    let mut offsets = vec![0; needs.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut total = 0;
    for i in order {
        let mut taken: Vec<Range<usize>> = placed
            .iter()
            .filter(|&&other| overlap(&needs[i], &needs[other]))
            .map(|&other| offsets[other]..offsets[other] + needs[other].bytes)
            .collect();
        taken.sort_by_key(|range| range.start);
        offsets[i] = first_gap(&taken, needs[i].bytes);
        total =
            total.max(offsets[i].checked_add(needs[i].bytes)?.checked_next_multiple_of(ALIGNMENT)?);
        placed.push(i);
    }
    Some((offsets, total))
}

fn overlap(a: &Need, b: &Need) -> bool {
    a.first <= b.last && b.first <= a.last
}

fn first_gap(taken: &[Range<usize>], bytes: usize) -> usize {
    let mut at: usize = 0;
    for range in taken {
        if at.saturating_add(bytes) <= range.start {
            break;
        }
        at = at.max(range.end.next_multiple_of(ALIGNMENT));
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(bytes: usize, first: usize, last: usize) -> Need {
        Need { bytes, first, last }
    }

    #[test]
    fn values_that_do_not_meet_share_bytes() {
        let needs = [need(100, 0, 1), need(100, 1, 2), need(100, 2, 3)];
        let (offsets, total) = place(&needs).unwrap();
        assert_eq!(offsets, [0, 128, 0]);
        assert_eq!(total, 256);
    }

    #[test]
    fn no_two_live_values_overlap() {
        let mut state = 1u32;
        let mut random = |most: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) % most) as usize
        };
        let needs: Vec<Need> = (0..200)
            .map(|_| {
                let first = random(50);
                need(1 + random(5000), first, first + random(10))
            })
            .collect();
        let (offsets, total) = place(&needs).unwrap();
        for (i, a) in needs.iter().enumerate() {
            assert!(offsets[i] % ALIGNMENT == 0 && offsets[i] + a.bytes <= total);
            for (j, b) in needs.iter().enumerate().skip(i + 1) {
                let apart =
                    offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i];
                assert!(apart || !overlap(a, b), "{i} {j}");
            }
        }
    }
}

//! In which order samples come: the data set's own, shuffled anew in each epoch, or with several
//! sources of data mixed in given shares.

use crate::dataset::Sample;
use crate::random::Random;

/// The order of one pass over `samples`, by their indices.
///
/// Without a `seed` it is their own. With `shares`, a number for each source, every stretch of the
/// order holds samples of the sources in those proportions: of a source that is larger than its share
/// each epoch sees others, of a smaller one some come again. The length stays the number of samples.
pub(crate) fn epoch(
    samples: &[Sample],
    seed: Option<u64>,
    shares: &[f64],
    epoch: u64,
) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..samples.len()).collect();
    let Some(seed) = seed else { return indices };
    if shares.is_empty() {
        Random::of(seed, epoch, 0).shuffle(&mut indices);
        return indices;
    }
    let mut sources: Vec<Source> = (0u64..)
        .zip(shares)
        .map(|(number, &share)| Source {
            share,
            indices: Vec::new(),
            next: 0,
            // Stream 0 is the plain shuffle's.
            random: Random::of(seed, epoch, number + 1),
        })
        .collect();
    for index in indices {
        if let Some(source) = samples.get(index).and_then(|s| sources.get_mut(s.origin)) {
            source.indices.push(index);
        }
    }
    sources.retain(|source| source.share > 0.0 && !source.indices.is_empty());
    let whole: f64 = sources.iter().map(|source| source.share).sum();
    sources.iter_mut().for_each(|source| source.share /= whole);
    mix(&mut sources, samples.len())
}

/// One source of data in an epoch.
struct Source {
    /// Its part of the order; all parts sum to 1.
    share: f64,
    indices: Vec<usize>,
    /// Samples given out.
    next: usize,
    random: Random,
}

impl Source {
    /// The next sample; after the last one all come again in another order.
    fn draw(&mut self) -> Option<usize> {
        let place = self.next.checked_rem(self.indices.len())?;
        if place == 0 {
            self.random.shuffle(&mut self.indices);
        }
        self.next += 1;
        self.indices.get(place).copied()
    }
}

/// Always a sample of the source that is furthest behind its share.
fn mix(sources: &mut [Source], len: usize) -> Vec<usize> {
    let mut order = Vec::with_capacity(len);
    for place in 1..=len {
        let behind = |source: &Source| source.share * place as f64 - source.next as f64;
        let furthest = sources.iter_mut().max_by(|a, b| behind(a).total_cmp(&behind(b)));
        order.extend(furthest.and_then(Source::draw));
    }
    order
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::dataset;

    /// So many of each source.
    fn samples(counts: &[usize]) -> Vec<Sample> {
        let of = |(origin, &count): (usize, &usize)| {
            let source = dataset::Source::File(PathBuf::new());
            std::iter::repeat_n(Sample { source, label: 0, origin }, count)
        };
        counts.iter().enumerate().flat_map(of).collect()
    }

    #[test]
    fn every_stretch_has_the_shares() {
        let samples = samples(&[90, 10, 4]);
        let order = epoch(&samples, Some(3), &[1.0, 2.0, 1.0], 0);
        assert_eq!(order.len(), 104);
        for stretch in order.chunks_exact(8) {
            let count = |origin| stretch.iter().filter(|&&i| samples[i].origin == origin).count();
            assert!((1..=3).contains(&count(0)) && (3..=5).contains(&count(1)), "{stretch:?}");
        }
        let of_second: Vec<usize> =
            order.iter().copied().filter(|&i| samples[i].origin == 1).collect();
        for pass in of_second.chunks_exact(10) {
            let mut pass = pass.to_vec();
            pass.sort_unstable();
            assert_eq!(pass, (90..100).collect::<Vec<_>>(), "each once before any again");
        }
        assert_ne!(order, epoch(&samples, Some(3), &[1.0, 2.0, 1.0], 1));
        assert_eq!(order, epoch(&samples, Some(3), &[2.0, 4.0, 2.0], 0));
    }

    #[test]
    fn a_source_without_a_share_or_without_samples_is_left_out() {
        let samples = samples(&[3, 0, 5]);
        let order = epoch(&samples, Some(1), &[1.0, 1.0, 0.0], 0);
        assert_eq!(order.len(), 8);
        assert!(order.iter().all(|&index| index < 3));
        assert!(epoch(&samples, Some(1), &[0.0], 0).is_empty());
    }

    #[test]
    fn without_shares_each_sample_comes_once() {
        let samples = samples(&[20, 20]);
        let mut order = epoch(&samples, Some(1), &[], 0);
        assert_ne!(order, (0..40).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..40).collect::<Vec<_>>());
        assert_eq!(epoch(&samples, None, &[], 0), order);
    }
}

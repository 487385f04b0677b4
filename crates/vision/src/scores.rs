//! Logits to probabilities and the likeliest classes. Names are the business of `labels`.

use std::cmp::Ordering;

/// A class and its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The class: the place of the score among all.
    pub index: usize,
    /// The score: a logit or a probability, whichever was ranked.
    pub score: f32,
}

/// The probabilities of one row of `logits`; they add up to 1.
///
/// Logits of plus infinity share all probability; a NaN makes every probability NaN, so that a
/// broken network cannot look confident.
///
/// ```
/// assert_eq!(mobilenet_vision::softmax(&[1.0, 1.0]), [0.5, 0.5]);
/// ```
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if largest.is_infinite() {
        return at_infinity(logits, largest);
    }
    let powers: Vec<f64> = logits.iter().map(|&v| f64::from(v - largest).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.iter().map(|power| (power / total) as f32).collect()
}

/// Softmax where the largest logit is infinite: its bearers share alike.
fn at_infinity(logits: &[f32], largest: f32) -> Vec<f32> {
    let broken = logits.iter().any(|v| v.is_nan());
    let share = 1.0 / logits.iter().filter(|&&v| v == largest).count() as f32;
    let share_of = |&v: &f32| if v == largest { share } else { 0.0 };
    logits.iter().map(|v| if broken { f32::NAN } else { share_of(v) }).collect()
}

/// The `k` largest of `scores`, largest first; equal scores in the order of their classes, NaN
/// after all numbers. Fewer than `k` if there are no more.
///
/// ```
/// let best = mobilenet_vision::top_k(&[0.1, 0.7, 0.2], 2);
/// assert_eq!([best[0].index, best[1].index], [1, 2]);
/// ```
pub fn top_k(scores: &[f32], k: usize) -> Vec<Scored> {
    let all = scores.iter().enumerate();
    let mut all: Vec<Scored> = all.map(|(index, &score)| Scored { index, score }).collect();
    let k = k.min(all.len());
    if k > 0 && k < all.len() {
        all.select_nth_unstable_by(k - 1, by_rank);
    }
    all.truncate(k);
    all.sort_unstable_by(by_rank);
    all
}

/// Larger scores first, then smaller classes; a total order.
fn by_rank(a: &Scored, b: &Scored) -> Ordering {
    let numbers = b.score.partial_cmp(&a.score);
    let order = numbers.unwrap_or_else(|| a.score.is_nan().cmp(&b.score.is_nan()));
    order.then(a.index.cmp(&b.index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(scores: &[f32], k: usize) -> Vec<usize> {
        top_k(scores, k).iter().map(|s| s.index).collect()
    }

    #[test]
    fn ties_keep_the_order_of_classes_and_nan_comes_last() {
        assert_eq!(indices(&[1.0, 2.0, 2.0, 1.0], 3), [1, 2, 0]);
        assert_eq!(indices(&[f32::NAN, 1.0, f32::NEG_INFINITY, f32::NAN], 4), [1, 2, 0, 3]);
        assert_eq!(indices(&[0.0, -0.0, 0.0], 3), [0, 1, 2]);
        assert_eq!(indices(&[], 5), [0usize; 0]);
        assert_eq!(indices(&[1.0], 0), [0usize; 0]);
    }

    #[test]
    fn selection_agrees_with_sorting_everything() {
        let scores: Vec<f32> = (0u32..1001).map(|i| (i * 7919 % 257) as f32).collect();
        let mut sorted: Vec<usize> = (0..scores.len()).collect();
        sorted.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        for k in [1, 2, 5, 256, 1000, 1001, 2000] {
            assert_eq!(indices(&scores, k), sorted[..k.min(1001)]);
        }
    }

    #[test]
    fn softmax_survives_large_logits_and_infinities() {
        let sum: f32 = softmax(&[1000.0, 999.0, -1000.0]).iter().sum();
        assert!((sum - 1.0).abs() < 1e-6);
        let infinity = f32::INFINITY;
        assert_eq!(softmax(&[infinity, 0.0, infinity]), [0.5, 0.0, 0.5]);
        assert_eq!(softmax(&[-infinity, -infinity]), [0.5, 0.5]);
        assert!(softmax(&[f32::NAN, 0.0]).iter().all(|v| v.is_nan()));
        assert!(softmax(&[f32::NAN, infinity]).iter().all(|v| v.is_nan()));
        assert!(softmax(&[]).is_empty());
    }
}

//! Histograms with TensorFlow's buckets: each 1.1 times as wide as the one nearer to zero.

use super::messages::HistogramProto;

/// Smallest limit of a bucket above zero.
const SMALLEST: f64 = 1e-12;
/// Where the buckets end; all beyond share the last one.
const LARGEST: f64 = 1e20;
/// Ratio of one limit to the next.
const GROWTH: f64 = 1.1;

/// The histogram of `values`; those that are not finite are left out.
///
/// ```
/// let histogram = mobilenet_formats::events::histogram(&[0.0, 1.0, 1.0]);
/// assert_eq!((histogram.num, histogram.sum), (3.0, 2.0));
/// assert_eq!(histogram.bucket.iter().sum::<f64>(), 3.0);
/// ```
pub fn histogram(values: &[f32]) -> HistogramProto {
    let limits = limits();
    let mut counts = vec![0f64; limits.len()];
    let mut proto = HistogramProto { min: f64::MAX, max: f64::MIN, ..Default::default() };
    for value in values.iter().map(|&value| f64::from(value)).filter(|value| value.is_finite()) {
        let bucket = limits.partition_point(|&limit| limit <= value).min(limits.len() - 1);
        if let Some(count) = counts.get_mut(bucket) {
            *count += 1.0;
        }
        proto.min = proto.min.min(value);
        proto.max = proto.max.max(value);
        proto.num += 1.0;
        proto.sum += value;
        proto.sum_squares += value * value;
    }
    if proto.num == 0.0 {
        return HistogramProto::default();
    }
    keep_filled(&limits, &counts, &mut proto);
    proto
}

/// Upper ends of all buckets, ascending.
fn limits() -> Vec<f64> {
    let positive = std::iter::successors(Some(SMALLEST), |limit| Some(limit * GROWTH));
    let mut positive: Vec<f64> = positive.take_while(|&limit| limit < LARGEST).collect();
    positive.push(f64::MAX);
    positive.iter().rev().map(|limit| -limit).chain(positive.iter().copied()).collect()
}

/// Leaves out the empty buckets, but for the one before each filled one, which gives its lower end.
fn keep_filled(limits: &[f64], counts: &[f64], proto: &mut HistogramProto) {
    let next = counts.iter().skip(1).chain(std::iter::once(&0.0));
    for ((&limit, &count), &next) in limits.iter().zip(counts).zip(next) {
        if count > 0.0 || next > 0.0 {
            proto.bucket_limit.push(limit);
            proto.bucket.push(count);
        }
    }
}

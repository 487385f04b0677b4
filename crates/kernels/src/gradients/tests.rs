use super::*;
use crate::conv2d::Conv2dSpec;
use crate::depthwise::DepthwiseSpec;
use crate::layer::{Layer, LayerInput, LayerOutput, LayerSpec};
use crate::normalize::Normalization;
use crate::window::{Activation, Window};

/// Numbers in [-1, 1), the same for the same seed.
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn isas() -> impl Iterator<Item = Isa> {
    Isa::available()
}

/// Relative to the largest value: float32 sums of up to some thousand products.
fn close(what: &str, got: &[f32], want: &[f32]) {
    let largest = want.iter().fold(1e-6_f32, |largest, value| largest.max(value.abs()));
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (got - want).abs() / largest;
        assert!(error <= 2e-5, "{what}: at {index} {got} for {want}, {error:e} of the largest");
    }
}

/// Runs on one thread and on three and wants the same bits.
fn on_threads(mut run: impl FnMut(&Pool) -> Vec<f32>) -> Vec<f32> {
    let alone = run(&Pool::single());
    assert_eq!(alone, run(&Pool::new(3)));
    alone
}

const BATCH: usize = 2;

#[test]
fn convolutions() {
    // Height, width, channels, outputs, kernel, stride.
    let cases = [
        (16, 16, 3, 8, 3, 2),
        (15, 17, 3, 24, 3, 2),
        (7, 7, 5, 16, 3, 1),
        (12, 10, 8, 16, 1, 1),
        (6, 6, 33, 65, 1, 1),
        (1, 1, 17, 31, 1, 1),
        (2, 2, 4, 7, 3, 2),
    ];
    for (height, width, channels, outputs, kernel, stride) in cases {
        let window = Window::same([kernel; 2], [stride; 2], [1, 1], [height, width]);
        let spec = Conv2dSpec {
            input: [height, width, channels],
            outputs,
            window,
            affine: None,
            activation: Activation::None,
        };
        let x = numbers(1, BATCH * height * width * channels);
        let w = numbers(2, kernel * kernel * channels * outputs);
        let dy = numbers(3, BATCH * spec.output().unwrap().iter().product::<usize>());
        let (want_dx, want) = reference::conv2d(spec, &x, &w, &dy).unwrap();
        for isa in isas() {
            let dx = on_threads(|pool| {
                let mut dx = vec![f32::NAN; x.len()];
                conv2d_input_gradient(isa, pool, spec, &w, &dy, &mut dx).unwrap();
                dx
            });
            close(&format!("{isa} input {spec:?}"), &dx, &want_dx);
            let op = FilterGradient::new(isa, spec).unwrap();
            let got = on_threads(|pool| {
                let mut filter = vec![f32::NAN; op.filter_len()];
                let mut scratch = vec![f32::NAN; op.scratch_len(BATCH)];
                op.run(pool, BATCH, &x, &dy, &mut filter, &mut scratch);
                filter
            });
            close(&format!("{isa} {spec:?}"), &got, &want);
        }
    }
}

#[test]
fn depthwise_convolutions() {
    // Height, width, channels, kernel, stride.
    let cases = [
        (12, 12, 6, 3, 1),
        (12, 12, 8, 3, 2),
        (6, 8, 8, 3, 1),
        (5, 12, 4, 3, 1),
        (7, 7, 40, 3, 1),
        (8, 6, 24, 3, 2),
        (2, 2, 16, 3, 1),
        (11, 9, 16, 3, 2),
        (1, 1, 20, 3, 1),
        (2, 2, 33, 3, 2),
        (9, 8, 7, 5, 1),
    ];
    for (height, width, channels, kernel, stride) in cases {
        let window = Window::same([kernel; 2], [stride; 2], [1, 1], [height, width]);
        let input = [height, width, channels];
        let spec = DepthwiseSpec { input, multiplier: 1, window, activation: Activation::None };
        let x = numbers(4, BATCH * height * width * channels);
        let w = numbers(5, kernel * kernel * channels);
        let dy = numbers(6, BATCH * spec.output().unwrap().iter().product::<usize>());
        let (want_dx, want_dw) = reference::depthwise(spec, &x, &w, &dy).unwrap();
        for isa in isas() {
            let op = DepthwiseFilterGradient::new(isa, spec).unwrap();
            let dw = on_threads(|pool| {
                let mut filter = vec![f32::NAN; op.filter_len()];
                let mut scratch = vec![f32::NAN; op.scratch_len(BATCH)];
                op.run(pool, BATCH, &x, &dy, &mut filter, &mut scratch);
                filter
            });
            close(&format!("{isa} filter {spec:?}"), &dw, &want_dw);
            let dx = on_threads(|pool| {
                let mut dx = vec![f32::NAN; x.len()];
                depthwise_input_gradient(isa, pool, spec, &w, &dy, &mut dx).unwrap();
                dx
            });
            close(&format!("{isa} input {spec:?}"), &dx, &want_dx);
        }
    }
}

#[test]
fn average_pools() {
    // Height, width, channels, kernel, stride.
    let cases = [
        (7, 7, 33, [7, 7], [1, 1]),
        (7, 7, 16, [7, 7], [2, 2]),
        (8, 6, 5, [2, 2], [2, 2]),
        (9, 11, 8, [3, 2], [2, 3]),
        (5, 5, 1, [2, 2], [3, 3]),
        (10, 7, 3, [3, 3], [1, 1]),
        (1, 1, 20, [1, 1], [1, 1]),
    ];
    for (height, width, channels, kernel, stride) in cases {
        let same = Window::same(kernel, stride, [1, 1], [height, width]);
        for window in [same, Window::valid(kernel, stride, [1, 1])] {
            let input = [height, width, channels];
            let outputs = window.output([height, width]).unwrap().iter().product::<usize>();
            let dy = numbers(11, BATCH * outputs * channels);
            let want = reference::average_pool(input, window, &dy).unwrap();
            for isa in isas() {
                let op = AveragePoolGradient::new(isa, input, window).unwrap();
                let dx = on_threads(|pool| {
                    let mut dx = vec![f32::NAN; want.len()];
                    op.run(pool, BATCH, &dy, &mut dx);
                    dx
                });
                close(&format!("{isa} {input:?} {window:?}"), &dx, &want);
            }
        }
    }
}

#[test]
fn batch_norms() {
    const EPSILON: f64 = 1e-3;
    for (rows, channels) in [(1, 5), (3, 8), (200, 8), (5000, 8), (129, 16), (70, 33)] {
        for activation in [Activation::None, Activation::Relu6] {
            let x: Vec<f32> = numbers(7, rows * channels).iter().map(|x| 3.0 * x + 2.0).collect();
            let dy = numbers(8, rows * channels);
            let gamma: Vec<f32> = numbers(9, channels).iter().map(|g| 3.0 * g).collect();
            let beta: Vec<f32> = numbers(10, channels).iter().map(|b| b + 1.0).collect();
            let column = |c: usize| x.iter().skip(c).step_by(channels).map(|&x| f64::from(x));
            let means: Vec<f64> =
                (0..channels).map(|c| column(c).sum::<f64>() / rows as f64).collect();
            let deviations: Vec<f64> = (0..channels)
                .map(|c| {
                    let square = |x: f64| (x - means[c]) * (x - means[c]);
                    1.0 / (column(c).map(square).sum::<f64>() / rows as f64 + EPSILON).sqrt()
                })
                .collect();
            let mean: Vec<f32> = means.iter().map(|&mean| mean as f32).collect();
            let inverse_deviation: Vec<f32> = deviations.iter().map(|&d| d as f32).collect();
            let factor: Vec<f32> =
                gamma.iter().zip(&deviations).map(|(&g, d)| (f64::from(g) * d) as f32).collect();
            let gated: Vec<f32> = (0..dy.len())
                .map(|at| {
                    let c = at % channels;
                    let y = (x[at] - mean[c]).mul_add(factor[c], beta[c]);
                    let open = activation == Activation::None || (y > 0.0 && y < 6.0);
                    if open { dy[at] } else { 0.0 }
                })
                .collect();
            let [want_dx, want_dgamma, want_dbeta] =
                reference::batch_norm(&x, &gated, &gamma, EPSILON);
            for isa in isas() {
                let op = BatchNormGradient {
                    mean: &mean,
                    inverse_deviation: &inverse_deviation,
                    factor: &factor,
                    beta: &beta,
                    activation,
                    of_batch: true,
                };
                let all = on_threads(|pool| {
                    let mut dx = vec![f32::NAN; x.len()];
                    let (mut dgamma, mut dbeta) =
                        (vec![f32::NAN; channels], vec![f32::NAN; channels]);
                    let mut slopes = BatchNormSlopes { gamma: &mut dgamma, beta: &mut dbeta };
                    let [sums, factors] = BatchNormGradient::scratch_len(rows, channels);
                    let scratch = BatchNormGradientScratch {
                        sums: &mut vec![f64::NAN; sums],
                        factors: &mut vec![f32::NAN; factors],
                    };
                    op.run(isa, pool, &x, &dy, &mut dx, &mut slopes, scratch).unwrap();
                    [dx, dgamma, dbeta].concat()
                });
                let what = format!("{isa} {rows}x{channels} {activation:?}");
                let (dx, rest) = all.split_at(x.len());
                close(&format!("{what} dx"), dx, &want_dx);
                close(&format!("{what} dgamma"), &rest[..channels], &want_dgamma);
                close(&format!("{what} dbeta"), &rest[channels..], &want_dbeta);
            }
        }
    }
}

#[test]
fn activations() {
    let features = [-1.0, -0.0, 0.0, 1e-30, 3.0, 5.999, 6.0, 7.0, f32::NAN, f32::INFINITY];
    let dy = [2.0; 10];
    for isa in isas() {
        for (activation, open) in [(Activation::Relu, 3..8), (Activation::Relu6, 3..6)] {
            let mut dx = [f32::NAN; 10];
            activation_gradient(isa, &Pool::single(), activation, &features, &dy, &mut dx);
            for (index, dx) in dx.into_iter().enumerate() {
                assert_eq!(dx, if open.contains(&index) { 2.0 } else { 0.0 }, "{isa} {index}");
            }
        }
    }
}

fn layer_specs() -> [LayerSpec; 9] {
    let full = |input: [usize; 3], outputs: usize, kernel: usize, stride: usize| {
        let window = Window::same([kernel; 2], [stride; 2], [1, 1], [input[0], input[1]]);
        let activation = Activation::None;
        LayerSpec::Full(Conv2dSpec { input, outputs, window, affine: None, activation })
    };
    let depthwise = |input: [usize; 3], stride: usize| {
        let window = Window::same([3; 2], [stride; 2], [1, 1], [input[0], input[1]]);
        let activation = Activation::None;
        LayerSpec::Depthwise(DepthwiseSpec { input, multiplier: 1, window, activation })
    };
    [
        full([16, 15, 3], 8, 3, 2),
        full([12, 10, 8], 16, 1, 1),
        full([7, 5, 33], 65, 1, 1),
        full([1, 1, 17], 31, 1, 1),
        depthwise([12, 12, 8], 1),
        depthwise([7, 7, 40], 1),
        depthwise([11, 9, 16], 2),
        depthwise([2, 2, 33], 2),
        // Less than a row of those that vectors fill.
        depthwise([1, 1, 8], 1),
    ]
}

/// A layer's slopes in one are those of batch norm and then of the convolution.
#[test]
fn layers_backward() {
    for (spec, batch) in layer_specs().into_iter().flat_map(|spec| [1, 3, 19].map(|b| (spec, b))) {
        for activation in [Activation::None, Activation::Relu6] {
            for isa in isas() {
                let case = Case { isa, spec, batch, activation };
                layer_backward(&case);
            }
        }
    }
}

struct Case {
    isa: Isa,
    spec: LayerSpec,
    batch: usize,
    activation: Activation,
}

/// Mean, variance, scale and shift of so many channels.
fn statistics(channels: usize) -> [Vec<f32>; 4] {
    let variance = numbers(21, channels).iter().map(|v| 1.5 + v).collect();
    let shift = numbers(22, channels).iter().map(|b| b + 0.5).collect();
    [numbers(20, channels), variance, numbers(23, channels), shift]
}

/// Of those statistics.
fn normalization<'a>(
    activation: Activation,
    [mean, variance, gamma, beta]: &[Vec<f32>; 4],
    factors: &'a mut [f32],
) -> Normalization<'a> {
    Normalization::new((activation, 1e-3), [mean, variance, gamma, beta], factors).unwrap()
}

fn layer_backward(&Case { isa, spec, batch, activation }: &Case) {
    let op = LayerGradient::new(isa, spec).unwrap();
    let (input, output) = (spec.input(), spec.output().unwrap());
    let channels = output[2];
    let x = numbers(11, batch * input.iter().product::<usize>());
    let w = numbers(12, op.filter_len());
    let y = numbers(13, batch * output.iter().product::<usize>());
    let dy = numbers(14, y.len());
    let [mean, factor, beta] = [15, 16, 17].map(|seed| numbers(seed, channels));
    let deviation = vec![1.5; channels];
    let norm = BatchNormGradient {
        mean: &mean,
        inverse_deviation: &deviation,
        factor: &factor,
        beta: &beta,
        activation,
        of_batch: true,
    };
    let [sums, factors] = BatchNormGradient::scratch_len(y.len() / channels, channels);
    let before_deviation = numbers(18, input[2]);
    let on = |pool: &Pool, x: &[f32], before: Option<Normalization<'_>>, wants_input: bool| {
        let count = if before.is_some() { input[2] } else { 0 };
        let (mut gamma_before, mut shift_before) = (vec![f32::NAN; count], vec![f32::NAN; count]);
        let mut dx = vec![f32::NAN; if wants_input { x.len() } else { 0 }];
        let mut slopes = vec![f32::NAN; w.len()];
        let (mut gamma, mut shift) = (vec![f32::NAN; channels], vec![f32::NAN; channels]);
        let filter = if wants_input { &w[..] } else { &[] };
        let of = LayerOperands { input: x, before, filter, output: &y, dy: &dy };
        let to = LayerSlopes {
            input: wants_input.then_some(&mut dx[..]),
            filter: &mut slopes,
            norm: NormSlopes::Wanted(BatchNormSlopes { gamma: &mut gamma, beta: &mut shift }),
            before: before.map(|_| SlopesBefore {
                inverse_deviation: &before_deviation,
                slopes: BatchNormSlopes { gamma: &mut gamma_before, beta: &mut shift_before },
            }),
        };
        let [doubles, floats] = op.scratch_len(batch, before.is_some(), before.is_some());
        let scratch = LayerScratch {
            norm: BatchNormGradientScratch {
                sums: &mut vec![f64::NAN; sums],
                factors: &mut vec![f32::NAN; factors],
            },
            sums: &mut vec![f64::NAN; doubles],
            parts: &mut vec![f32::NAN; floats],
        };
        op.run(pool, batch, &norm, of, to, scratch).unwrap();
        [slopes, gamma, shift, dx, gamma_before, shift_before].concat()
    };
    let what = format!("{isa} {spec:?} {batch} {activation:?}");
    let got = on_threads(|pool| on(pool, &x, None, true));
    let alone = on_threads(|pool| on(pool, &x, None, false));
    assert_eq!(alone, got[..got.len() - x.len()], "{what} without input");

    let pool = Pool::single();
    let mut between = vec![f32::NAN; y.len()];
    let (mut gamma, mut shift) = (vec![f32::NAN; channels], vec![f32::NAN; channels]);
    let mut slopes = BatchNormSlopes { gamma: &mut gamma, beta: &mut shift };
    let scratch = BatchNormGradientScratch {
        sums: &mut vec![f64::NAN; sums],
        factors: &mut vec![f32::NAN; factors],
    };
    norm.run(isa, &pool, &y, &dy, &mut between, &mut slopes, scratch).unwrap();
    let (dx, dw) = match spec {
        LayerSpec::Full(spec) => reference::conv2d(spec, &x, &w, &between).unwrap(),
        LayerSpec::Depthwise(spec) => reference::depthwise(spec, &x, &w, &between).unwrap(),
    };
    let (got_slopes, rest) = got.split_at(w.len());
    close(&format!("{what} filter"), got_slopes, &dw);
    assert_eq!(rest[..2 * channels], [gamma, shift].concat(), "{what} scale and shift");
    close(&format!("{what} input"), &rest[2 * channels..], &dx);

    // What is applied to the input on the way gives the same as what was applied before.
    let vectors = statistics(input[2]);
    let mut factors = vec![f32::NAN; Normalization::scratch_len(input[2])];
    let before = normalization(activation, &vectors, &mut factors);
    let mut applied = vec![f32::NAN; x.len()];
    before.apply(isa, &x, &mut applied);
    let got = on_threads(|pool| on(pool, &x, Some(before), true));
    let (got, summed) = got.split_at(got.len() - 2 * input[2]);
    let (norm_behind, applied_before) = (norm, applied.clone());
    assert_eq!(got, on(&pool, &applied, None, true), "{what} with an input made on the way");

    // Nor do the slopes of the norm before change for being summed where they are written.
    let dx = &got[got.len() - x.len()..];
    let [mean, _, _, beta] = &vectors;
    let norm = BatchNormGradient {
        mean,
        inverse_deviation: &before_deviation,
        factor: &before.factors().1[before.factors().1.len() / 3..][..input[2]],
        beta,
        activation,
        of_batch: true,
    };
    let [sums, factors] = BatchNormGradient::scratch_len(x.len() / input[2], input[2]);
    let mut slopes = [vec![f32::NAN; input[2]], vec![f32::NAN; input[2]]];
    let [gamma, shift] = &mut slopes;
    let scratch = BatchNormGradientScratch {
        sums: &mut vec![f64::NAN; sums],
        factors: &mut vec![f32::NAN; factors],
    };
    let mut to = BatchNormSlopes { gamma, beta: shift };
    norm.run(isa, &pool, &x, dx, &mut applied, &mut to, scratch).unwrap();
    // Slopes that are known are as good as those that are summed.
    let mut of_filter = vec![f32::NAN; w.len()];
    let known = got[w.len()..][..2 * channels].split_at(channels);
    let to = LayerSlopes {
        input: None,
        filter: &mut of_filter,
        norm: NormSlopes::Known([known.0, known.1]),
        before: None,
    };
    let [_, floats] = op.scratch_len(batch, false, false);
    let mut scratch = (vec![f32::NAN; 5 * channels * 16], vec![f32::NAN; floats]);
    let scratch = LayerScratch {
        norm: BatchNormGradientScratch { sums: &mut [], factors: &mut scratch.0 },
        sums: &mut [],
        parts: &mut scratch.1,
    };
    let of =
        LayerOperands { input: &applied_before, before: None, filter: &[], output: &y, dy: &dy };
    op.run(&pool, batch, &norm_behind, of, to, scratch).unwrap();
    assert_eq!(of_filter, got[..w.len()], "{what} with slopes known");
    close(&format!("{what} scale before"), &summed[..input[2]], &slopes[0]);
    close(&format!("{what} shift before"), &summed[input[2]..], &slopes[1]);
}

#[test]
fn nothing_has_no_statistics() {
    let op = Layer::new(Isa::Portable, layer_specs()[1]).unwrap();
    let [mut mean, mut variance] = [[f32::NAN; 16]; 2];
    let from = LayerInput { input: &[], before: None, filter: &[0.0; 8 * 16] };
    let to = LayerOutput { output: &mut [], statistics: Some([&mut mean, &mut variance]) };
    assert!(op.run(&Pool::single(), 0, from, to, (&mut [], &mut [])).is_err());
}

/// A layer in one yields what batch norm, the convolution and its statistics yield.
#[test]
fn layers_forward() {
    for (spec, batch) in layer_specs().into_iter().flat_map(|spec| [1, 3, 19].map(|b| (spec, b))) {
        if matches!(spec, LayerSpec::Full(_)) && !spec.is_pointwise() {
            assert!(Layer::new(Isa::Portable, spec).is_err());
            continue;
        }
        for (activation, isa) in [Activation::None, Activation::Relu6]
            .into_iter()
            .flat_map(|activation| isas().map(move |isa| (activation, isa)))
        {
            layer_forward(&Case { isa, spec, batch, activation });
        }
    }
}

fn layer_forward(&Case { isa, spec, batch, activation }: &Case) {
    let op = Layer::new(isa, spec).unwrap();
    let (input, output) = (spec.input(), spec.output().unwrap());
    let channels = output[2];
    let x = numbers(31, batch * input.iter().product::<usize>());
    let w = numbers(32, LayerGradient::new(isa, spec).unwrap().filter_len());
    let len = batch * output.iter().product::<usize>();
    let vectors = statistics(input[2]);
    let mut factors = vec![f32::NAN; Normalization::scratch_len(input[2])];
    let before = normalization(activation, &vectors, &mut factors);
    let mut applied = vec![f32::NAN; x.len()];
    before.apply(isa, &x, &mut applied);
    let on = |pool: &Pool, x: &[f32], before: Option<Normalization<'_>>| {
        let [doubles, floats] = op.scratch_len(batch, before.is_some());
        let (mut moments, mut strips) = (vec![f64::NAN; doubles], vec![f32::NAN; floats]);
        let mut y = vec![f32::NAN; len];
        let (mut mean, mut variance) = (vec![f32::NAN; channels], vec![f32::NAN; channels]);
        let from = LayerInput { input: x, before, filter: &w };
        let to = LayerOutput { output: &mut y, statistics: Some([&mut mean, &mut variance]) };
        op.run(pool, batch, from, to, (&mut moments, &mut strips)).unwrap();
        [mean, variance, y].concat()
    };
    let what = format!("{isa} {spec:?} {batch} {activation:?}");
    let got = on_threads(|pool| on(pool, &x, Some(before)));
    assert_eq!(got, on(&Pool::single(), &applied, None), "{what} applied before");
    let zeros = vec![0.0; channels];
    let want = match spec {
        LayerSpec::Full(spec) => {
            let sizes = [spec.input[2], spec.outputs];
            crate::reference::pointwise(sizes, &applied, &w, &zeros, Activation::None)
        }
        LayerSpec::Depthwise(spec) => {
            crate::reference::depthwise(spec, &applied, &w, &zeros).unwrap()
        }
    };
    let (statistics, y) = got.split_at(2 * channels);
    close(&what, y, &want);
    let rows = (len / channels) as f64;
    let column = |c: usize| y.iter().skip(c).step_by(channels).map(|&y| f64::from(y));
    let means: Vec<f64> = (0..channels).map(|c| column(c).sum::<f64>() / rows).collect();
    let variances = (0..channels)
        .map(|c| (column(c).map(|y| (y - means[c]).powi(2)).sum::<f64>() / rows) as f32);
    let means: Vec<f32> = means.iter().map(|&mean| mean as f32).collect();
    close(&format!("{what} mean"), &statistics[..channels], &means);
    close(&format!("{what} variance"), &statistics[channels..], &variances.collect::<Vec<_>>());
}

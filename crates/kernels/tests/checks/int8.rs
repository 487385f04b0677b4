//! The kernels of bytes against the plainest loops, bit for bit, with one thread and two; weights
//! with and without a zero point.

use super::{POOL, family_layers};
use mobilenet_kernels::int8::{
    Affine, Conv2d, Conv2dSpec, Depthwise, DepthwiseSpec, FullyConnected, Multiplier, Quantization,
    Quantize, Rescale, Weights, reference,
};
use mobilenet_kernels::{Isa, Padding, Pool, Window};

/// Reproducible numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 20
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// Weights, bias and rescaling of a layer whose outputs spread over the whole range of bytes.
struct Values {
    weights: Vec<i8>,
    zero_point: i8,
    bias: Vec<i32>,
    multipliers: Vec<Multiplier>,
    output_zero_point: u8,
    range: [u8; 2],
}

/// What kind of model a layer imitates.
#[derive(Clone, Copy, Debug)]
enum Model {
    /// Multipliers for each channel, relu6; weights so small that products of neighbours fit 16 bits.
    Int8,
    /// One multiplier, weights with a zero point, the output's zero point 0.
    Uint8,
    /// Multipliers for each channel, nothing below a zero point inside of the range; weights so small but a few.
    Relu,
    /// Any range, zero point and multipliers, up to more than 1.
    Wild,
}

const MODELS: [Model; 4] = [Model::Int8, Model::Uint8, Model::Relu, Model::Wild];

impl Values {
    fn new(seed: u64, model: Model, terms: usize, outputs: usize) -> Self {
        let mut random = Random(seed * 0x9e37_79b9 + 12345);
        let weights = random.bytes(terms * outputs).into_iter().enumerate();
        let weights = weights.map(|(i, byte)| match model {
            Model::Relu if i % 97 == 0 => byte as i8,
            Model::Int8 | Model::Relu => byte as i8 >> 1,
            Model::Uint8 | Model::Wild => byte as i8,
        });
        let weights = weights.collect();
        let size = if matches!(model, Model::Int8 | Model::Relu) { 37.0 } else { 75.0 };
        let spread = 255.0 * size * (terms as f64).sqrt();
        let mut multiplier = |wild: bool| {
            let factor = 100.0 / spread * (0.5 + (random.next() % 1000) as f64 / 1000.0);
            let wild = if wild { [1e-3, 1.0, 30.0, 1e4][random.next() as usize % 4] } else { 1.0 };
            Multiplier::new(factor * wild).unwrap()
        };
        let multipliers = match model {
            Model::Int8 | Model::Relu => (0..outputs).map(|_| multiplier(false)).collect(),
            Model::Uint8 => vec![multiplier(false)],
            Model::Wild => (0..outputs).map(|_| multiplier(true)).collect(),
        };
        let (zero_point, output_zero_point, range) = match model {
            Model::Int8 => (0, 0, [0, 255]),
            Model::Relu => (0, 117, [117, 240]),
            Model::Uint8 => ((random.next() % 40) as i8 - 20, 0, [0, 255]),
            Model::Wild => (random.next() as i8, 117, [3, 240]),
        };
        let bias = (0..outputs).map(|_| random.next() as i32 % spread as i32).collect();
        Self { weights, zero_point, bias, multipliers, output_zero_point, range }
    }

    fn weights(&self) -> Weights<'_> {
        Weights { values: &self.weights, zero_point: self.zero_point }
    }

    fn rescale(&self) -> Rescale<'_> {
        Rescale {
            multipliers: &self.multipliers,
            zero_point: self.output_zero_point,
            range: self.range,
        }
    }
}

fn assert_equal(what: &str, actual: &[u8], expected: &[u8]) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    if let Some(index) = (0..actual.len()).find(|&index| actual[index] != expected[index]) {
        panic!("{what}: byte {index} is {}, expected {}", actual[index], expected[index]);
    }
}

fn check_conv2d(batch: usize, spec: Conv2dSpec, model: Model) {
    let input = Random(7).bytes(batch * spec.input.iter().product::<usize>());
    let [rows, columns, outputs] = spec.output().unwrap();
    let terms = spec.window.kernel[0] * spec.window.kernel[1] * spec.input[2];
    let values = Values::new(1, model, terms, outputs);
    let (weights, bias, rescale) = (values.weights(), &*values.bias, values.rescale());
    let expected = reference::conv2d(spec, &input, weights, bias, rescale).unwrap();
    for isa in Isa::available() {
        let op = Conv2d::new(isa, spec, weights, Some(bias), rescale).unwrap();
        for pool in [&Pool::single(), &*POOL] {
            let mut output = vec![99; batch * rows * columns * outputs];
            let mut scratch = vec![99; op.scratch_len(pool.threads())];
            op.run(pool, batch, &input, &mut output, &mut scratch);
            let what = format!("{isa} {model:?} {} threads {batch} x {spec:?}", pool.threads());
            assert_equal(&what, &output, &expected);
        }
    }
}

fn check_depthwise(batch: usize, spec: DepthwiseSpec, model: Model) {
    let input = Random(8).bytes(batch * spec.input.iter().product::<usize>());
    let [rows, columns, outputs] = spec.output().unwrap();
    let values = Values::new(2, model, spec.window.kernel[0] * spec.window.kernel[1], outputs);
    let (weights, bias, rescale) = (values.weights(), &*values.bias, values.rescale());
    let expected = reference::depthwise(spec, &input, weights, bias, rescale).unwrap();
    for isa in Isa::available() {
        let op = Depthwise::new(isa, spec, weights, Some(bias), rescale).unwrap();
        for pool in [&Pool::single(), &*POOL] {
            let mut output = vec![99; batch * rows * columns * outputs];
            let mut scratch = vec![99; op.scratch_len(pool.threads())];
            op.run(pool, batch, &input, &mut output, &mut scratch);
            let what = format!("{isa} {model:?} {} threads {batch} x {spec:?}", pool.threads());
            assert_equal(&what, &output, &expected);
        }
    }
}

fn check_fully_connected(rows: usize, [inputs, outputs]: [usize; 2], model: Model) {
    let input = Random(9).bytes(rows * inputs);
    let values = Values::new(3, model, inputs, outputs);
    let (weights, bias, rescale) = (values.weights(), &*values.bias, values.rescale());
    let sizes = [inputs, outputs];
    let expected = reference::fully_connected(sizes, 9, &input, weights, bias, rescale).unwrap();
    for isa in Isa::available() {
        let op = FullyConnected::new(isa, sizes, 9, weights, Some(bias), rescale).unwrap();
        for pool in [&Pool::single(), &*POOL] {
            let mut output = vec![99; rows * outputs];
            op.run(pool, rows, &input, &mut output);
            let what = format!("{isa} {model:?} {} threads {rows} x {sizes:?}", pool.threads());
            assert_equal(&what, &output, &expected);
        }
    }
}

fn depthwise_spec(input: [usize; 3], stride: usize) -> DepthwiseSpec {
    let window = Window::same([3, 3], [stride; 2], [1, 1], [input[0], input[1]]);
    DepthwiseSpec { input, multiplier: 1, window, zero_point: 3 }
}

fn first_spec(height: usize, width: usize, outputs: usize) -> Conv2dSpec {
    Conv2dSpec {
        input: [height, width, 3],
        outputs,
        window: Window::same([3, 3], [2, 2], [1, 1], [height, width]),
        zero_point: 128,
    }
}

fn pointwise_spec(pixels: usize, inputs: usize, outputs: usize) -> Conv2dSpec {
    let window = Window::valid([1, 1], [1, 1], [1, 1]);
    Conv2dSpec { input: [1, pixels, inputs], outputs, window, zero_point: 0 }
}

pub fn every_layer_of_the_family() {
    for (index, layer) in family_layers().into_iter().enumerate() {
        let model = MODELS[index % 2];
        match layer[..] {
            [0, size, outputs] => check_conv2d(1, first_spec(size, size, outputs), model),
            [1, size, inputs, outputs, stride] => {
                check_depthwise(1, depthwise_spec([size, size, inputs], stride), model);
                // The product does not depend on where rows come from: some of them will do.
                let rows = size.div_ceil(stride).pow(2).min(400_000 / inputs / outputs * 4 + 37);
                check_conv2d(1, pointwise_spec(rows, inputs, outputs), model);
            }
            [_, inputs, outputs] => {
                for rows in [1, 2, 17] {
                    check_fully_connected(rows, [inputs, outputs], model);
                }
            }
            _ => unreachable!(),
        }
    }
}

pub fn pointwise_around_every_tile() {
    for model in MODELS {
        for rows in [1, 2, 3, 5, 6, 7, 11, 12, 13, 14, 15, 29] {
            for outputs in [1, 7, 8, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 100, 129] {
                for inputs in [1, 3, 4, 5, 8, 18] {
                    check_conv2d(1, pointwise_spec(rows, inputs, outputs), model);
                }
            }
        }
    }
}

pub fn depthwise_odd_shapes() {
    for channels in [1, 3, 4, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100, 128] {
        for (height, width) in [(1, 1), (1, 9), (9, 1), (2, 2), (3, 3), (5, 4), (7, 6), (8, 13)] {
            for stride in [1, 2, 3] {
                let model = MODELS[(channels + stride + height) % 4];
                check_depthwise(2, depthwise_spec([height, width, channels], stride), model);
            }
        }
    }
}

pub fn depthwise_any_geometry() {
    for (kernel, stride, dilation) in
        [([5, 5], [1, 1], [1, 1]), ([3, 3], [1, 1], [2, 2]), ([1, 4], [2, 1], [1, 3])]
    {
        for multiplier in [1, 2, 3] {
            for input in [[9, 8, 5], [6, 11, 16], [10, 10, 33]] {
                let same = Window::same(kernel, stride, dilation, [input[0], input[1]]);
                let padding = Padding { top: 0, bottom: 2, left: 1, right: 0 };
                let odd = Window { padding, ..Window::valid([3, 3], stride, [1, 1]) };
                for window in [same, Window::valid(kernel, stride, dilation), odd] {
                    let spec = DepthwiseSpec { input, multiplier, window, zero_point: 200 };
                    check_depthwise(2, spec, MODELS[(multiplier + input[0]) % 4]);
                }
            }
        }
    }
}

pub fn conv2d_any_geometry() {
    for (input, outputs) in [([9, 8, 3], 8), ([7, 11, 5], 17), ([12, 12, 16], 3), ([4, 4, 1], 1)] {
        for (kernel, stride, dilation) in [
            ([3, 3], [1, 1], [1, 1]),
            ([3, 3], [2, 2], [1, 1]),
            ([1, 1], [2, 2], [1, 1]),
            ([1, 1], [1, 1], [1, 1]),
            ([2, 4], [1, 2], [2, 1]),
        ] {
            for model in MODELS {
                let same = Window::same(kernel, stride, dilation, [input[0], input[1]]);
                for window in [same, Window::valid(kernel, stride, dilation)] {
                    check_conv2d(2, Conv2dSpec { input, outputs, window, zero_point: 77 }, model);
                }
            }
        }
    }
}

pub fn first_convolution_odd_shapes() {
    for outputs in [1, 7, 8, 9, 16, 24, 32] {
        for (height, width) in [(1, 1), (2, 3), (5, 2), (9, 9), (10, 33), (11, 34), (8, 67)] {
            for model in MODELS {
                check_conv2d(2, first_spec(height, width, outputs), model);
            }
        }
    }
}

/// Sums one after the other through all bytes, by many multipliers: no byte begins early or late.
pub fn both_sides_of_every_step() {
    let sums = 127 * 255;
    let input: Vec<u8> = (0..=254u8).flat_map(|a| (0..127).flat_map(move |b| [a, b])).collect();
    let outputs = 64;
    let multipliers: Vec<_> = (0..outputs)
        .map(|i| Multiplier::new(255.0 / f64::from(sums) * (0.9 + 0.0123 * f64::from(i))).unwrap())
        .collect();
    let weights: Vec<i8> = (0..outputs).flat_map(|_| [127, 1]).collect();
    let bias: Vec<i32> = (0..outputs).map(|i| 7 * i - 100).collect();
    for (zero_point, range) in [(0, [0, 255]), (50, [50, 200]), (50, [0, 255])] {
        let rescale = Rescale { multipliers: &multipliers, zero_point, range };
        let weights = Weights::symmetric(&weights);
        let sizes = [2, multipliers.len()];
        let expected =
            reference::fully_connected(sizes, 0, &input, weights, &bias, rescale).unwrap();
        for isa in Isa::available() {
            let op = FullyConnected::new(isa, sizes, 0, weights, Some(&bias), rescale).unwrap();
            let mut output = vec![99; expected.len()];
            op.run(&POOL, input.len() / 2, &input, &mut output);
            assert_equal(&format!("{isa} {zero_point} {range:?}"), &output, &expected);
        }
    }
}

pub fn extreme_weights_and_sums() {
    for (value, zero_point) in [(-128, 127), (127, -128), (-128, 0), (127, 0)] {
        for bias in [i32::MIN, -1, i32::MAX] {
            for factor in [1e-9, 0.4, 0.6, 1.7, 900.0] {
                let (weights, bias) = (vec![value; 300 * 20], vec![bias; 20]);
                let weights = Weights { values: &weights, zero_point };
                let multipliers = [Multiplier::new(factor).unwrap()];
                let rescale = Rescale { multipliers: &multipliers, zero_point: 5, range: [0, 255] };
                let input = vec![255; 3 * 300];
                let sizes = [300, 20];
                let expected =
                    reference::fully_connected(sizes, 1, &input, weights, &bias, rescale).unwrap();
                for isa in Isa::available() {
                    let op = FullyConnected::new(isa, sizes, 1, weights, Some(&bias), rescale);
                    let mut output = vec![99; 60];
                    op.unwrap().run(&POOL, 3, &input, &mut output);
                    let what = format!("{isa} {value} {zero_point} {bias:?} {factor}");
                    assert_equal(&what, &output, &expected);
                }
            }
        }
    }
}

/// Neighbours whose products sum to the most that 16 bits hold, and to a little more, with weights of
/// both signs; the image's bytes are the largest.
pub fn neighbours_at_the_edge_of_16_bits() {
    for pair in
        [[64, 64], [64, 65], [127, 1], [127, 2], [-128, 0], [-128, -1], [-64, -64], [-1, -128]]
    {
        let (inputs, outputs) = (40, 20);
        // The pair's place among four inputs differs from output to output.
        let weight = |i: usize| pair[(i + i / inputs) % 2];
        let weights: Vec<i8> = (0..inputs * outputs).map(weight).collect();
        let multipliers = [Multiplier::new(100.0 / (255.0 * 64.0 * inputs as f64)).unwrap()];
        let rescale = Rescale { multipliers: &multipliers, zero_point: 120, range: [0, 255] };
        let (input, bias) = (vec![255; 13 * inputs], vec![0; outputs]);
        let (sizes, weights) = ([inputs, outputs], Weights::symmetric(&weights));
        let expected =
            reference::fully_connected(sizes, 0, &input, weights, &bias, rescale).unwrap();
        for isa in Isa::available() {
            let op = FullyConnected::new(isa, sizes, 0, weights, Some(&bias), rescale);
            let mut output = vec![99; 13 * outputs];
            op.unwrap().run(&POOL, 13, &input, &mut output);
            assert_equal(&format!("{isa} {pair:?}"), &output, &expected);
        }
    }
}

/// What [`Quantize`] says of itself, value by value.
fn rounded(affine: Affine, to: Quantization, x: f32) -> u8 {
    let steps = ((x * affine.factor + affine.shift) / to.scale).round();
    let steps = if steps.is_nan() { 0.0 } else { steps };
    (steps + f32::from(to.zero_point)).clamp(0.0, 255.0) as u8
}

pub fn quantize_rounds_as_division_does() {
    let mut random = Random(88_172_645_463_325_252);
    let mut next = || random.next() as u32;
    let scales = [2.0 / 255.0, 1.0 / 127.5, 1.0 / 128.0, 0.023_528_47, 1.999_999_9, 1e-30, 1e30];
    for i in 0..400 {
        let random = f32::from_bits(next() % (20 << 23) + (115 << 23));
        let scale = scales.get(i).copied().unwrap_or(random);
        let to = Quantization { scale, zero_point: next() as u8 };
        let affine = Affine { factor: [1.0, 2.0][i % 2], shift: [0.0, -1.0, 0.3][i % 3] };
        // Halves and their neighbours, and any bits at all.
        let halves = (-260..=260).flat_map(|half| {
            let x = (half as f32 + 0.5) * scale;
            let x = (x - affine.shift) / affine.factor;
            (-3..=3).map(move |ulps: i32| f32::from_bits(x.to_bits().wrapping_add_signed(ulps)))
        });
        let input: Vec<f32> =
            halves.chain((0..500).map(|_| f32::from_bits(next() << 1 | 1))).collect();
        let mut bytes = vec![0; input.len()];
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            Quantize::new(isa, affine, to).unwrap().run(&Pool::single(), &input, &mut bytes);
            for (&x, &byte) in input.iter().zip(&bytes) {
                assert_eq!(byte, rounded(affine, to, x), "{isa}: {x:e}, {scale:e}, {affine:?}");
            }
        }
    }
}

pub fn what_does_not_fit_is_an_error() {
    let multipliers = [Multiplier::new(0.1).unwrap(); 2];
    let rescale = Rescale { multipliers: &multipliers, zero_point: 0, range: [0, 255] };
    let new = |weights: &[i8], bias: &[i32], rescale| {
        let weights = Weights::symmetric(weights);
        FullyConnected::new(Isa::Portable, [3, 4], 0, weights, Some(bias), rescale).err()
    };
    assert!(new(&[0; 12], &[0; 4], rescale).is_some(), "two multipliers for four outputs");
    let one = Rescale { multipliers: &multipliers[..1], ..rescale };
    assert!(new(&[0; 12], &[0; 4], one).is_none());
    assert!(new(&[0; 11], &[0; 4], one).is_some());
    assert!(new(&[0; 12], &[0; 3], one).is_some());
    assert!(new(&[0; 12], &[0; 4], Rescale { range: [4, 3], ..one }).is_some());
}

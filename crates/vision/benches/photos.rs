//! From the bytes of a photo to a module's input: decoding, then resizing. With `--test` each
//! runs once.
#![allow(missing_docs, clippy::expect_used)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use mobilenet_vision::{Crop, DecodeOptions, Decoder, Image, Preprocess, Resize, Scratch};

const WIDTH: u16 = 500;
const HEIGHT: u16 = 375;

/// Waves and grain, which cost as many bits as a photo of a landscape.
fn picture() -> Image {
    let mut seed = 1u32;
    let mut grain = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 27) as f32
    };
    let (width, height) = (usize::from(WIDTH), usize::from(HEIGHT));
    let mut pixels = Vec::with_capacity(width * height * 3);
    for i in 0..width * height {
        let (y, x) = ((i / width) as f32, (i % width) as f32);
        let wave = (x / 9.0).sin() * (y / 13.0).cos() + (x * y / 4000.0).sin();
        let light = 120.0 + 45.0 * wave + grain();
        pixels.extend([light, light * 0.9, light * 0.7].map(|v| v as u8));
    }
    Image::new(height, width, pixels).expect("the size fits")
}

fn jpeg(image: &Image, sampling: SamplingFactor, progressive: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 92);
    encoder.set_sampling_factor(sampling);
    encoder.set_progressive(progressive);
    encoder.encode(image.pixels(), WIDTH, HEIGHT, ColorType::Rgb).expect("the size fits");
    bytes
}

fn decode(bench: &mut Criterion) {
    let image = picture();
    let files = [
        ("jpeg 4:4:4", jpeg(&image, SamplingFactor::F_1_1, false)),
        ("jpeg 4:2:0", jpeg(&image, SamplingFactor::F_2_2, false)),
        ("jpeg progressive", jpeg(&image, SamplingFactor::F_1_1, true)),
        ("png", mobilenet_vision::encode_png(&image).expect("the size fits")),
    ];
    let mut group = bench.benchmark_group("decode");
    for (name, file) in files {
        let mut decoder = Decoder::new(DecodeOptions::default());
        group.throughput(Throughput::Bytes(file.len() as u64));
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let image = decoder.decode(&file).expect("a sound file");
                decoder.recycle(image);
            });
        });
    }
    group.finish();
}

fn resize(bench: &mut Criterion) {
    let image = picture();
    let mut group = bench.benchmark_group("resize to 192");
    for resize in Resize::all() {
        let preprocess = Preprocess { crop: Crop::None, resize, height: 192, width: 192 };
        let (mut scratch, mut output) = (Scratch::default(), vec![0.0; preprocess.output_len()]);
        group.bench_function(BenchmarkId::from_parameter(resize), |bench| {
            bench.iter(|| preprocess.run_with(&mut scratch, &image, &mut output).expect("fits"));
        });
    }
    group.finish();
}

criterion_group!(benches, decode, resize);
criterion_main!(benches);

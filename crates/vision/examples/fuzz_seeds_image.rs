//! Writes the seed corpus of the fuzz target `image`: small sound files of every format, made here.
//!
//!     cargo run -p mobilenet-vision --example fuzz_seeds_image -- fuzz/corpus
#![allow(clippy::unwrap_used, reason = "a tool for developers")]

use std::io::Cursor;
use std::path::{Path, PathBuf};

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use tiff::encoder::TiffEncoder;
use tiff::encoder::colortype::{Gray8, RGB8, YCbCr8};
use tiff::tags::Tag;

const WIDTH: u16 = 19;
const HEIGHT: u16 = 17;

/// What writes a TIFF file into memory.
type Tiff<'a> = TiffEncoder<&'a mut Cursor<Vec<u8>>>;

fn main() {
    let corpus = PathBuf::from(std::env::args().nth(1).unwrap_or("fuzz/corpus".into()));
    let folder = corpus.join("image");
    std::fs::create_dir_all(&folder).unwrap();
    jpegs(&folder);
    pngs(&folder);
    put(&folder, "gif", &gif());
    put(&folder, "webp", &webp());
    tiffs(&folder);
    put(&folder, "bmp", &bmp());
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(name), bytes).unwrap();
}

/// A smooth picture with an edge, `channels` bytes a pixel.
fn pixels(channels: usize) -> Vec<u8> {
    let (width, height) = (usize::from(WIDTH), usize::from(HEIGHT));
    let value = |y: usize, x: usize, c: usize| {
        if x > y { 40 * c + 7 * x } else { 255 - 60 * c - 3 * y }
    };
    (0..height * width * channels)
        .map(|i| value(i / channels / width, i / channels % width, i % channels) as u8)
        .collect()
}

fn jpegs(folder: &Path) {
    type Set = fn(&mut Encoder<&mut Vec<u8>>);
    let kinds: [(&str, ColorType, usize, Set); 7] = [
        ("jpeg_444", ColorType::Rgb, 3, |e| e.set_sampling_factor(SamplingFactor::F_1_1)),
        ("jpeg_420", ColorType::Rgb, 3, |e| e.set_sampling_factor(SamplingFactor::F_2_2)),
        ("jpeg_422", ColorType::Rgb, 3, |e| e.set_sampling_factor(SamplingFactor::F_2_1)),
        ("jpeg_restarts", ColorType::Rgb, 3, |e| e.set_restart_interval(2)),
        ("jpeg_progressive", ColorType::Rgb, 3, |e| e.set_progressive(true)),
        ("jpeg_grey", ColorType::Luma, 1, |e| e.set_optimized_huffman_tables(true)),
        ("jpeg_cmyk", ColorType::Cmyk, 4, |_| {}),
    ];
    for (name, color, channels, set) in kinds {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 80);
        set(&mut encoder);
        encoder.encode(&pixels(channels), WIDTH, HEIGHT, color).unwrap();
        put(folder, name, &bytes);
    }
}

fn pngs(folder: &Path) {
    let kinds = [
        ("png_rgb", png::ColorType::Rgb, 3),
        ("png_rgba", png::ColorType::Rgba, 4),
        ("png_grey", png::ColorType::Grayscale, 1),
    ];
    for (name, color, channels) in kinds {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, WIDTH.into(), HEIGHT.into());
        encoder.set_color(color);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&pixels(channels)).unwrap();
        writer.finish().unwrap();
        put(folder, name, &bytes);
    }
}

fn gif() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder =
        gif::Encoder::new(&mut bytes, WIDTH, HEIGHT, &[0, 0, 0, 255, 128, 9]).unwrap();
    let indices: Vec<u8> = pixels(1).iter().map(|v| v & 1).collect();
    let frame = gif::Frame::from_indexed_pixels(WIDTH, HEIGHT, indices, None);
    encoder.write_frame(&frame).unwrap();
    drop(encoder);
    bytes
}

fn webp() -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = image_webp::WebPEncoder::new(&mut bytes);
    let (width, height) = (WIDTH.into(), HEIGHT.into());
    encoder.encode(&pixels(3), width, height, image_webp::ColorType::Rgb8).unwrap();
    bytes
}

fn tiffs(folder: &Path) {
    let (width, height) = (WIDTH.into(), HEIGHT.into());
    let save = |name: &str, write: &dyn Fn(&mut Tiff<'_>)| {
        let mut file = Cursor::new(Vec::new());
        write(&mut TiffEncoder::new(&mut file).unwrap());
        put(folder, name, &file.into_inner());
    };
    save("tiff", &|file| file.write_image::<RGB8>(width, height, &pixels(3)).unwrap());
    save("tiff_ycc", &|file| file.write_image::<YCbCr8>(width, height, &pixels(3)).unwrap());
    save("tiff_palette", &|file| {
        let mut image = file.new_image::<Gray8>(width, height).unwrap();
        let colors: Vec<u16> = (0..768).map(|i| i * 85).collect();
        image.encoder().write_tag(Tag::PhotometricInterpretation, 3u16).unwrap();
        image.encoder().write_tag(Tag::ColorMap, &colors[..]).unwrap();
        image.write_data(&pixels(1)).unwrap();
    });
}

/// 24 bits a pixel, rows padded to four bytes.
fn bmp() -> Vec<u8> {
    let row = (usize::from(WIDTH) * 3).next_multiple_of(4);
    let body = row * usize::from(HEIGHT);
    let mut bytes = b"BM".to_vec();
    let numbers =
        [54 + body, 0, 54, 40, WIDTH.into(), HEIGHT.into(), 1 | 24 << 16, 0, body, 0, 0, 0, 0];
    bytes.extend(numbers.iter().flat_map(|&number| (number as u32).to_le_bytes()));
    for line in pixels(3).chunks_exact(usize::from(WIDTH) * 3) {
        bytes.extend(line);
        bytes.resize(bytes.len() + row - line.len(), 0);
    }
    bytes
}

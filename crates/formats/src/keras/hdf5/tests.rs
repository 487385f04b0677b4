use super::*;
use crate::{DType, TensorData};

/// `tests/data/keras/make.py` makes these files.
const LAYOUTS: &[u8] = include_bytes!("../../../tests/data/keras/layouts.h5");
const LINKS: &[u8] = include_bytes!("../../../tests/data/keras/links.h5");
const CYCLE: &[u8] = include_bytes!("../../../tests/data/keras/cycle.h5");
const LATEST: &[u8] = include_bytes!("../../../tests/data/keras/latest.h5");
const WEIGHTS: &[u8] = include_bytes!("../../../tests/data/keras/tiny.weights.h5");

fn read(bytes: &[u8]) -> Result<Group> {
    super::read(bytes, &Limits::default())
}

fn values() -> Vec<f32> {
    (0..35u8).map(f32::from).collect()
}

#[test]
fn every_layout_filter_and_type_is_read() {
    let root = read(LAYOUTS).unwrap();
    for path in ["chunked/gzip", "chunked/plain"] {
        let tensor = root.dataset(path).unwrap();
        assert_eq!((tensor.shape(), tensor.as_f32()), (&[7, 5][..], Some(&values()[..])), "{path}");
    }
    let many = root.dataset("chunked/many").unwrap();
    assert!(many.as_i16().unwrap().iter().copied().eq(0..1500));
    let wide: Vec<f64> = (0..35u8).map(f64::from).collect();
    assert_eq!(root.dataset("big_endian").unwrap().as_f64(), Some(&wide[..]));
    let half = root.dataset("half").unwrap();
    assert_eq!((half.dtype(), half.as_f16_bits().unwrap()[1]), (DType::F16, 0x3c00));
    assert_eq!(root.dataset("bools").unwrap().as_i8().unwrap()[3..5], [0, 1]);
    let scalar = root.dataset("scalar").unwrap();
    assert_eq!((scalar.shape(), scalar.as_i64()), (&[][..], Some(&[-5][..])));
    assert_eq!(root.dataset("empty").unwrap().shape(), [0, 3]);
    let strings = |list: &[&str]| {
        TensorData::String(list.iter().map(|text| text.as_bytes().to_vec()).collect())
    };
    assert_eq!(root.dataset("strings").unwrap().data(), &strings(&["a", "bcd", ""]));
    assert_eq!(root.dataset("fixed").unwrap().data(), &strings(&["ab", "c"]));
    assert_eq!(root.attributes["text"].data(), &strings(&["hello"]));
    assert_eq!(root.attributes["list"].data(), &strings(&["x", "yy"]));
    assert_eq!(root.attributes["strings"].data(), &strings(&["p", "qq"]));
    assert_eq!(root.attributes["number"].as_f32(), Some(&[1.5][..]));
}

#[test]
fn groups_of_many_links_are_read_and_soft_links_passed_over() {
    let root = read(LAYOUTS).unwrap();
    let links = root.group("links").unwrap();
    assert_eq!(links.members.len(), 300);
    assert_eq!(root.dataset("links/l299"), root.dataset("scalar"));
    assert!(!root.members.contains_key("soft"));
}

#[test]
fn newer_headers_and_links_are_read() {
    let root = read(LINKS).unwrap();
    for path in ["a", "x/y/b"] {
        assert_eq!(root.dataset(path).unwrap().as_f32(), Some(&values()[..]));
    }
    assert_eq!(root.attributes["text"].as_strings().unwrap(), [b"hello".to_vec()]);
}

#[test]
fn newer_chunk_indexes_are_refused_by_name() {
    let error = read(LATEST).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("layout") && error.to_string().contains("`a`"), "{error}");
}

// Hostile files ------------------------------------------------------------------------------

#[test]
fn a_group_that_contains_its_parent_is_refused() {
    let error = read(CYCLE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("contains itself"), "{error}");
}

#[test]
fn more_objects_than_the_limit_are_refused() {
    let limits = Limits { archive_entries: 10, ..Limits::default() };
    assert_eq!(super::read(LAYOUTS, &limits).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn more_data_than_the_limit_is_refused() {
    let limits = Limits { archive_bytes: 1000, ..Limits::default() };
    assert_eq!(super::read(LAYOUTS, &limits).unwrap_err().kind(), ErrorKind::Limit);
    let limits = Limits { tensor_bytes: 100, ..Limits::default() };
    assert_eq!(super::read(LAYOUTS, &limits).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn every_truncation_is_an_error() {
    for bytes in [LINKS, CYCLE, LATEST] {
        for len in 0..bytes.len() {
            let _ = read(&bytes[..len]);
        }
        assert!(read(&bytes[..bytes.len() / 2]).is_err());
    }
    for len in (0..WEIGHTS.len() - 1).step_by(37) {
        assert!(read(&WEIGHTS[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn every_changed_byte_is_survived() {
    for (bytes, step) in [(LINKS, 1), (CYCLE, 1), (LATEST, 1), (WEIGHTS, 7), (LAYOUTS, 41)] {
        for at in (0..bytes.len()).step_by(step) {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = bytes.to_vec();
                bytes[at] = value;
                let _ = read(&bytes);
            }
        }
    }
}

/// Writes an 8-byte number over each place where `from` stands.
fn redirect(bytes: &[u8], from: u64, to: u64) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for at in 0..bytes.len() - 8 {
        if bytes[at..at + 8] == from.to_le_bytes() {
            out[at..at + 8].copy_from_slice(&to.to_le_bytes());
        }
    }
    out
}

fn position(bytes: &[u8], signature: &[u8; 4]) -> u64 {
    bytes.windows(4).position(|part| part == signature).unwrap() as u64
}

#[test]
fn a_tree_that_is_its_own_child_is_refused() {
    // Every pointer to a leaf of a group points to the group's tree.
    let (tree, leaf) = (position(CYCLE, b"TREE"), position(CYCLE, b"SNOD"));
    let error = read(&redirect(CYCLE, leaf, tree)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
}

#[test]
fn a_header_that_continues_in_itself_comes_to_an_end() {
    // One message, a continuation, whose block is the header's own messages.
    let mut bytes = CYCLE[..96].to_vec();
    let root = u64::from_le_bytes(bytes[64..72].try_into().unwrap()) as usize;
    assert_eq!(root, 96);
    bytes.extend_from_slice(&[1, 0, 1, 0, 1, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&[0x10, 0, 16, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&112u64.to_le_bytes());
    bytes.extend_from_slice(&24u64.to_le_bytes());
    bytes.resize(CYCLE.len(), 0);
    assert_eq!(read(&bytes).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn addresses_outside_the_file_are_refused() {
    for (signature, to) in [(b"TREE", u64::MAX - 1), (b"HEAP", 1 << 40), (b"SNOD", u64::MAX >> 1)] {
        let from = position(CYCLE, signature);
        let error = read(&redirect(CYCLE, from, to)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        assert!(error.to_string().contains("outside"), "{error}");
    }
}

#[test]
fn huge_datasets_are_refused_before_allocation() {
    // The shape (7, 5) of the contiguous dataset `a`, in the dataspace message.
    let shape: Vec<u8> = [7u64, 5].iter().flat_map(|dim| dim.to_le_bytes()).collect();
    let at = LINKS.windows(16).position(|part| part == shape).unwrap();
    for dims in [[u64::MAX, 5], [1 << 40, 1 << 40], [1 << 20, 1 << 20]] {
        let mut bytes = LINKS.to_vec();
        for (i, dim) in dims.iter().enumerate() {
            bytes[at + 8 * i..at + 8 * i + 8].copy_from_slice(&dim.to_le_bytes());
        }
        assert_eq!(read(&bytes).unwrap_err().kind(), ErrorKind::Limit);
    }
}

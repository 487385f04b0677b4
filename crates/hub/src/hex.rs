//! Bytes to lower-case hexadecimal and back.

use std::fmt::Write;

pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The `N` bytes that `text` spells, or `None` if it does not.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn round_trip() {
        assert_eq!(super::encode(&[0, 10, 255]), "000aff");
        assert_eq!(super::decode::<3>("000aff"), Some([0, 10, 255]));
        assert_eq!(super::decode::<3>("000afg"), None);
        assert_eq!(super::decode::<3>("000a"), None);
        assert_eq!(super::decode::<1>("é"), None);
    }
}

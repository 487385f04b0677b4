//! The keys of tensor slices in checkpoints: Google's ordered code, whose bytes sort as the values do.
//!
//! ```text
//! slice key   = 0 , name , rank , (start , length) * rank
//! unsigned    = count of bytes u8 , big-endian bytes without leading zeros
//! string      = bytes with 00 as 00 ff and ff as ff 00 , then 00 01
//! signed      = two's complement in as few bytes as hold it beside the prefix ,
//!               prefix bits tell the number of bytes
//! ```

use super::messages::TensorSliceProto;

/// A whole dimension has this length.
const FULL_EXTENT: i64 = -1;

/// The key of `slice` of the tensor `name`.
pub(crate) fn slice_key(name: &str, slice: &TensorSliceProto) -> Vec<u8> {
    let mut key = Vec::new();
    push_unsigned(&mut key, 0);
    push_string(&mut key, name.as_bytes());
    push_unsigned(&mut key, slice.extent.len() as u64);
    for extent in &slice.extent {
        push_signed(&mut key, extent.start);
        push_signed(&mut key, extent.length.unwrap_or(FULL_EXTENT));
    }
    key
}

fn push_unsigned(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_be_bytes();
    let zeros = (value.leading_zeros() / 8) as usize;
    out.push((bytes.len() - zeros) as u8);
    out.extend(bytes.iter().skip(zeros));
}

fn push_string(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        out.push(byte);
        match byte {
            0x00 => out.push(0xff),
            0xff => out.push(0x00),
            _ => {}
        }
    }
    out.extend([0x00, 0x01]);
}

/// One byte holds -64..64, two bytes 13 bits and sign, and so on: each further byte has one more
/// prefix bit, set for values from zero up and clear below.
fn push_signed(out: &mut Vec<u8>, value: i64) {
    let magnitude = if value < 0 { !value } else { value } as u64;
    let bits = (64 - magnitude.leading_zeros()) as usize;
    let len = bits / 7 + 1;
    // Sign-extended big-endian bytes, the last `len` of them; ten bytes hold the longest prefix.
    let sign = if value < 0 { 0xff } else { 0x00 };
    let mut bytes = [sign; 10];
    bytes[2..].copy_from_slice(&value.to_be_bytes());
    let mut bytes = bytes[10 - len..].to_vec();
    // Flip the prefix bits: `len` ones for positive numbers, and their complement for negative ones.
    for (byte, mask) in bytes.iter_mut().zip(prefix(len)) {
        *byte ^= mask;
    }
    out.extend(bytes);
}

/// `len` set bits from the top of two bytes.
fn prefix(len: usize) -> [u8; 2] {
    (!(u16::MAX.checked_shr(len as u32).unwrap_or(0))).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        push_signed(&mut out, value);
        out
    }

    #[test]
    fn signed_numbers_take_as_few_bytes_as_google_s_code() {
        assert_eq!(signed(0), [0x80]);
        assert_eq!(signed(1), [0x81]);
        assert_eq!(signed(-1), [0x7f]);
        assert_eq!(signed(63), [0xbf]);
        assert_eq!(signed(64), [0xc0, 0x40]);
        assert_eq!(signed(-64), [0x40]);
        assert_eq!(signed(-65), [0x3f, 0xbf]);
        assert_eq!(signed(i64::MAX).len(), 10);
        assert_eq!(signed(i64::MIN).len(), 10);
    }

    #[test]
    fn bytes_sort_as_numbers_do() {
        let mut values = vec![i64::MIN, i64::MAX, 0];
        for bit in 0..62 {
            for near in [-1, 0, 1] {
                values.extend([(1i64 << bit) + near, -(1i64 << bit) + near]);
            }
        }
        values.sort_unstable();
        values.dedup();
        let codes: Vec<_> = values.iter().map(|&value| signed(value)).collect();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn the_key_of_a_whole_matrix() {
        let extent = vec![Default::default(); 2];
        let key = slice_key("w", &TensorSliceProto { extent });
        assert_eq!(key, [0, b'w', 0, 1, 1, 2, 0x80, 0x7f, 0x80, 0x7f]);
    }
}

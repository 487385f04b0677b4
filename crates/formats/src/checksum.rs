//! CRC-32C as TensorFlow stores it: masked, so that a checksum of bytes that hold checksums stays
//! strong. The polynomial itself, with the CPU's instruction, is the `crc32c` crate's.

use crate::{Error, ErrorKind, Result};

const MASK_DELTA: u32 = 0xa282_ead8;

/// The masked CRC-32C of `bytes`.
pub(crate) fn masked_crc32c(bytes: &[u8]) -> u32 {
    mask(crc32c::crc32c(bytes))
}

/// Rotates and shifts a CRC the way TensorFlow and LevelDB store it.
pub(crate) fn mask(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(MASK_DELTA)
}

/// An error of kind [`ErrorKind::Checksum`] unless the masked CRC-32C of `bytes` is `stored`.
pub(crate) fn verify(bytes: &[u8], stored: u32) -> Result<()> {
    verify_value(masked_crc32c(bytes), stored)
}

/// As [`verify`], with the masked checksum already computed.
pub(crate) fn verify_value(actual: u32, stored: u32) -> Result<()> {
    // A fuzzer cannot guess checksums; what lies behind them is what it should reach.
    if actual == stored || cfg!(fuzzing) {
        return Ok(());
    }
    let message = format!("checksum {actual:#010x} of the bytes is not the stored {stored:#010x}");
    Err(Error::new(ErrorKind::Checksum, message).hint("the file is damaged; fetch it again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_value_and_its_mask() {
        // The check value of CRC-32C is public: "123456789" gives 0xe3069283.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        // Its mask by hand: 0xe3069283 >> 15 | 0xe3069283 << 17 is 0x2507c60d.
        assert_eq!(masked_crc32c(b"123456789"), 0x2507_c60du32.wrapping_add(MASK_DELTA));
        assert_eq!(verify(b"x", 0).unwrap_err().kind(), ErrorKind::Checksum);
    }
}

//! Checksums that a server sends with a file, in `X-Goog-Hash` or `Content-MD5`, held against the
//! bytes that arrived.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use ureq::http::HeaderMap;

use crate::error::At;
use crate::{Error, ErrorKind, Result, hex};

/// What the server promised; `None` where it promised nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Promised {
    md5: Option<Vec<u8>>,
    crc32c: Option<Vec<u8>>,
}

impl Promised {
    /// The promises about the whole file. `partial` is whether the answer is a part of it:
    /// `Content-MD5` is then about that part.
    pub(crate) fn by(headers: &HeaderMap, partial: bool) -> Self {
        let mut promised = Promised::default();
        // Unpacked on the way: the checksums are of what is stored.
        let stored = headers.get("x-goog-stored-content-encoding");
        if stored.is_none_or(|encoding| encoding == "identity") {
            for value in headers.get_all("x-goog-hash") {
                promised.add_all(value.to_str().unwrap_or_default());
            }
        }
        if let Some(value) = headers.get("content-md5").filter(|_| !partial) {
            promised.add(&format!("md5={}", value.to_str().unwrap_or_default()));
        }
        promised
    }

    fn add_all(&mut self, list: &str) {
        list.split(',').for_each(|one| self.add(one.trim()));
    }

    /// `md5=` or `crc32c=` and Base64; anything else is ignored.
    fn add(&mut self, promise: &str) {
        let Some((name, value)) = promise.split_once('=') else { return };
        let Ok(bytes) = STANDARD.decode(value) else { return };
        match (name, bytes.len()) {
            ("md5", 16) => self.md5 = Some(bytes),
            ("crc32c", 4) => self.crc32c = Some(bytes),
            _ => {}
        }
    }

    /// Whether there is nothing to hold.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Promised::default()
    }

    /// Reads the file at `path` and compares.
    ///
    /// # Errors
    /// [`ErrorKind::Checksum`] when a promise does not hold.
    pub(crate) fn hold(&self, path: &Path, from: &str) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let (md5, crc32c) = sums(path)?;
        let crc32c = crc32c.to_be_bytes();
        compare("MD5", self.md5.as_deref(), &md5, from)?;
        compare("CRC-32C", self.crc32c.as_deref(), &crc32c, from)
    }
}

fn sums(path: &Path) -> Result<([u8; 16], u32)> {
    let mut file = File::open(path).at(path, "open it")?;
    let (mut md5, mut crc, mut block) = (Md5::new(), 0, vec![0; 64 << 10]);
    loop {
        let n = file.read(&mut block).at(path, "read it")?;
        let bytes = block.get(..n).unwrap_or_default();
        if bytes.is_empty() {
            return Ok((md5.finalize().into(), crc));
        }
        md5.update(bytes);
        crc = crc32c::crc32c_append(crc, bytes);
    }
}

fn compare(name: &str, promised: Option<&[u8]>, found: &[u8], from: &str) -> Result<()> {
    match promised {
        Some(promised) if promised != found => Err(Error::new(
            ErrorKind::Checksum,
            format!(
                "{from}: {name} is {}, but the server promised {}",
                hex::encode(found),
                hex::encode(promised)
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn promises_are_read_from_headers() {
        let empty = "md5=1B2M2Y8AsgTpgAmY7PhCfg==";
        let both = headers(&[("x-goog-hash", "crc32c=AAAAAA=="), ("x-goog-hash", empty)]);
        let promised = Promised::by(&both, true);
        assert!(promised.md5.is_some() && promised.crc32c.is_some());
        let one_line = format!("crc32c=AAAAAA==, {empty}");
        assert_eq!(Promised::by(&headers(&[("x-goog-hash", &one_line)]), false), promised);
        let content = headers(&[("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")]);
        assert!(Promised::by(&content, false).md5.is_some());
        assert_eq!(Promised::by(&content, true), Promised::default());
        let unpacked =
            headers(&[("x-goog-hash", empty), ("x-goog-stored-content-encoding", "gzip")]);
        assert_eq!(Promised::by(&unpacked, false), Promised::default());
        let nonsense = headers(&[("x-goog-hash", "md5=AAAA,sha1=,x")]);
        assert_eq!(Promised::by(&nonsense, false), Promised::default());
    }
}

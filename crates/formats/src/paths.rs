//! Paths that a file gives to other files: only plain relative ones are followed.

use crate::{Error, ErrorKind, Limits, Result};

/// The path without `.` parts, if it stays in its folder on every system.
///
/// # Errors
/// [`ErrorKind::UnsafePath`] for empty and absolute paths, `..`, empty parts, backslashes, drive
/// names, streams and control characters; [`ErrorKind::Limit`] beyond `limits.path_bytes`.
pub(crate) fn plain(path: &str, limits: &Limits) -> Result<String> {
    Limits::check("bytes of a path", path.len() as u64, limits.path_bytes as u64)?;
    let parts: Vec<&str> = path.split('/').filter(|part| *part != ".").collect();
    let odd = |c: char| matches!(c, '\\' | ':') || c.is_control();
    let plain = |part: &&str| !part.is_empty() && *part != ".." && !part.contains(odd);
    if parts.is_empty() || !parts.iter().all(plain) {
        let message = format!("the path `{}` leaves the model's folder", path.escape_debug());
        return Err(Error::new(ErrorKind::UnsafePath, message)
            .hint("put the file beside the model and name it by a plain relative path"));
    }
    Ok(parts.join("/"))
}

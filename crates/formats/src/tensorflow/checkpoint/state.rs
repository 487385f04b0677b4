//! The file `checkpoint`: a text protobuf that names the latest checkpoint and those before it.

use crate::{Error, ErrorKind, Result};

/// The file's name, beside the checkpoints.
pub const STATE_FILE: &str = "checkpoint";

/// The file for checkpoints of these prefixes, oldest first.
///
/// ```
/// use mobilenet_formats::tensorflow::checkpoint::{latest, state_file};
///
/// let state = state_file(&["model.ckpt-1", "model.ckpt-7"]);
/// assert_eq!(latest(state.as_bytes())?, "model.ckpt-7");
/// # Ok::<(), mobilenet_formats::Error>(())
/// ```
pub fn state_file(prefixes: &[&str]) -> String {
    let line = |field: &str, prefix: &str| {
        format!("{field}: \"{}\"\n", prefix.replace('\\', "\\\\").replace('"', "\\\""))
    };
    let latest = prefixes.last().map(|prefix| line("model_checkpoint_path", prefix));
    let all = prefixes.iter().map(|prefix| line("all_model_checkpoint_paths", prefix));
    latest.into_iter().chain(all).collect()
}

/// The prefix of the latest checkpoint that the file names, without the folders of another machine.
///
/// # Errors
/// [`ErrorKind::Malformed`] when it names none.
pub fn latest(state: &[u8]) -> Result<String> {
    let text = String::from_utf8_lossy(state);
    let path = text.lines().find_map(|line| line.trim().strip_prefix("model_checkpoint_path:"));
    let quoted = path.and_then(|path| path.trim().strip_prefix('"')?.strip_suffix('"'));
    let Some(quoted) = quoted else {
        return Err(Error::new(ErrorKind::Malformed, "no model_checkpoint_path"));
    };
    let path = quoted.replace("\\\"", "\"").replace("\\\\", "\\");
    match path.rsplit(['/', '\\']).next() {
        Some(name) if !matches!(name, "" | "." | "..") => Ok(name.to_owned()),
        _ => Err(Error::new(ErrorKind::UnsafePath, format!("the path `{path}` names no file"))),
    }
}

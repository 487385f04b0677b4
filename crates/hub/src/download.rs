//! From a [`Source`] to a complete file in the cache folder: retries, resuming, limits and the
//! checksums a server promises. What is in the file is looked at by `install`.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use crate::digest::Promised;
use crate::error::at;
use crate::forms::Source;
use crate::http::{Answer, Client, Failure, Get};
use crate::layout::Layout;
use crate::options::HubOptions;
use crate::partial::{Partial, Resume};
use crate::progress::Progress;
use crate::{Error, ErrorKind, Result};

/// The longest pause a server can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A complete download.
#[derive(Debug)]
pub(crate) struct Archive {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// Where it came from after all redirects.
    pub(crate) url: String,
    /// Whether part of it is of an earlier attempt.
    pub(crate) resumed: bool,
    /// Whether the server said where it ends, by a length, chunks or a checksum: else it may be cut off.
    pub(crate) ends: bool,
}

/// Downloads `source`, going on where an earlier attempt or process was interrupted.
pub(crate) fn download(
    client: &Client,
    source: &Source,
    layout: &Layout,
    options: &HubOptions,
) -> Result<Archive> {
    let url = source.url.to_string();
    let mut tries = 0;
    loop {
        let Failure { error, retry } = match attempt(client, source, layout, options) {
            Ok(archive) => return Ok(archive),
            Err(failure) => failure,
        };
        let Some(after) = retry.filter(|_| tries < options.retries) else {
            return Err(if retry.is_some() { tried(error, tries + 1) } else { error });
        };
        let pause = options.retry_pause.saturating_mul(1 << tries.min(16));
        let pause = pause.max(after).min(LONGEST_PAUSE);
        options.report(&Progress::Retrying { url: &url, reason: &error.to_string(), pause });
        std::thread::sleep(pause);
        tries += 1;
    }
}

fn tried(error: Error, times: u32) -> Error {
    let plural = if times == 1 { "attempt" } else { "attempts" };
    Error::new(error.kind(), format!("{error}, after {times} {plural}")).caused_by(error)
}

/// One request and its body.
fn attempt(
    client: &Client,
    source: &Source,
    layout: &Layout,
    options: &HubOptions,
) -> Result<Archive, Failure> {
    let partial = Partial::new(layout);
    let url = source.url.to_string();
    let resume = partial.resume(&url);
    let get = Get {
        url: &source.url,
        range: resume.as_ref().map(|resume| (resume.len, resume.version.as_str())),
        authorization: source.authorization.as_deref(),
    };
    let (answer, body) = client.get(&get, options)?;
    let target = target(&answer, &partial, &url, resume, options)?;
    let resumed = target.start > 0;
    let sized = target.total.is_some() || answer.length().is_some() || answer.is_chunked();
    let bytes = target.copy(&answer, body, &partial, options)?;
    let promised = Promised::by(&answer.headers, resumed);
    promised.hold(&partial.path(), &url).map_err(|error| broken_promise(&partial, error))?;
    let ends = sized || !promised.is_empty();
    Ok(Archive { path: partial.path(), bytes, url: answer.url.to_string(), resumed, ends })
}

/// Where the body of `answer` belongs, by its status.
fn target<'a>(
    answer: &Answer,
    partial: &Partial<'_>,
    url: &'a str,
    resume: Option<Resume>,
    options: &HubOptions,
) -> Result<Target<'a>, Failure> {
    let (total, start) = match (answer.status, &resume) {
        (200, _) => (answer.length(), 0),
        (206, Some(resume)) => match rest(answer, resume) {
            Ok(total) => (total, resume.len),
            Err(why) => return Err(start_again(partial, answer, &why)),
        },
        (206 | 416, _) => return Err(start_again(partial, answer, "a part nobody asked for")),
        _ => return Err(answer.refused()),
    };
    check_size(answer, total.unwrap_or(0), options)?;
    let file = match start {
        0 => partial.begin(url, answer.version()),
        _ => partial.append(),
    };
    Ok(Target { file: file.map_err(Failure::last)?, start, total, url })
}

/// Bytes that are not the promised ones are of no use; the next may be.
fn broken_promise(partial: &Partial<'_>, error: Error) -> Failure {
    let _ = partial.discard();
    match error.kind() {
        ErrorKind::Checksum => Failure::passing(error),
        _ => Failure::last(error),
    }
}

/// The total length, if a partial answer is the rest of what is there; else why not.
fn rest(answer: &Answer, resume: &Resume) -> Result<Option<u64>, String> {
    let (first, total) = answer.content_range().ok_or("a part that does not say of what")?;
    if first != resume.len {
        return Err(format!("the part from byte {first}, not {}", resume.len));
    }
    match answer.version() {
        Some(version) if version != resume.version => Err("another version by now".into()),
        _ => Ok(total),
    }
}

/// An answer that does not fit what is there: forget that and ask for all.
fn start_again(partial: &Partial<'_>, answer: &Answer, why: &str) -> Failure {
    if let Err(error) = partial.discard() {
        return Failure::last(error);
    }
    let message = format!("{}: resuming the download, the server sent {why}", answer.url);
    Failure::passing(Error::new(ErrorKind::Server, message))
}

fn check_size(answer: &Answer, bytes: u64, options: &HubOptions) -> Result<(), Failure> {
    if bytes <= options.download_bytes {
        return Ok(());
    }
    let limit = options.download_bytes;
    let message = format!("{}: {bytes} bytes, more than the limit of {limit}", answer.url);
    let error = Error::new(ErrorKind::Limit, message);
    Err(Failure::last(error.hint("raise the limit on downloads if the server is trusted")))
}

/// Where the bytes of an answer go.
struct Target<'a> {
    file: File,
    /// Bytes that are there already.
    start: u64,
    total: Option<u64>,
    url: &'a str,
}

impl Target<'_> {
    /// Copies `body` to the end; gives the bytes that are there then.
    fn copy(
        mut self,
        answer: &Answer,
        mut body: impl Read,
        partial: &Partial<'_>,
        options: &HubOptions,
    ) -> Result<u64, Failure> {
        let (mut received, mut block) = (self.start, vec![0; 64 << 10]);
        let (url, total) = (self.url, self.total);
        loop {
            options.report(&Progress::Downloading { url, received, total });
            let read = body.read(&mut block);
            let read = read.map_err(|error| self.cut_off(received, &error.to_string()))?;
            let bytes = block.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            let accepted = self.accept(answer, received, bytes, options);
            accepted.inspect_err(|_| drop(partial.discard()))?;
            let written = self.file.write_all(bytes);
            written.map_err(|error| Failure::last(at(&partial.path(), "write it", error)))?;
            received += bytes.len() as u64;
        }
        match total {
            Some(total) if received < total => Err(self.cut_off(received, "the connection ended")),
            _ => Ok(received),
        }
    }

    /// Whether `bytes`, after those that are there, may belong to the file.
    fn accept(
        &self,
        answer: &Answer,
        received: u64,
        bytes: &[u8],
        options: &HubOptions,
    ) -> Result<(), Failure> {
        if received == 0 && is_page(bytes) {
            return Err(Failure::last(self.page(answer, bytes)));
        }
        check_size(answer, received + bytes.len() as u64, options)
    }

    fn cut_off(&self, received: u64, why: &str) -> Failure {
        let of = self.total.map_or(String::new(), |total| format!(" of {total}"));
        let message = format!("{}: after {received}{of} bytes: {why}", self.url);
        Failure::passing(Error::new(ErrorKind::Network, message))
    }

    fn page(&self, answer: &Answer, bytes: &[u8]) -> Error {
        const TOPOLOGY: &[u8] = b"\"modelTopology\"";
        if bytes.windows(TOPOLOGY.len()).any(|part| part == TOPOLOGY) {
            let message = format!(
                "{}: a TensorFlow.js model without its weights, which are files beside it",
                self.url
            );
            return Error::new(ErrorKind::Incomplete, message)
                .hint("give the URL of an archive of its folder");
        }
        let kind = answer.header("content-type").unwrap_or("no content type");
        let message = format!("{}: the server sent a page ({kind}), not a model", self.url);
        Error::new(ErrorKind::Archive, message)
            .hint("is it the address of a page about the model, or behind a login?")
    }
}

/// Whether an answer starts as HTML, XML or JSON does, and is text there: archives and model files
/// may begin with any character.
fn is_page(bytes: &[u8]) -> bool {
    const HEAD_BYTES: usize = 512;
    let text = bytes.trim_ascii_start();
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let is_text = |byte: &u8| !byte.is_ascii_control() || byte.is_ascii_whitespace();
    matches!(text.first(), Some(b'<' | b'{')) && bytes.iter().take(HEAD_BYTES).all(is_text)
}

#[cfg(test)]
mod tests {
    #[test]
    fn pages_are_told_from_files() {
        for page in ["<!doctype html>", "\n  <html>", "{\"error\": 1}", "\u{feff}<?xml"] {
            assert!(super::is_page(page.as_bytes()), "{page}");
        }
        assert!(!super::is_page(&[0x1f, 0x8b, 8]));
        assert!(!super::is_page(b"./saved_model.pb\0"));
        assert!(!super::is_page(b"<model>.pb\0\0"));
        // A graph whose first node has 60 bytes.
        assert!(!super::is_page(b"\n<\n\x05input\x12\x0bPlaceholder"));
        assert!(!super::is_page(b""));
    }
}

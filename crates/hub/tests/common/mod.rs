//! What the whole-path tests share: a tiny module, a folder that goes away, and a server on
//! loopback that does exactly what a test tells it, also what no decent server does.
#![allow(clippy::panic, clippy::print_stdout, reason = "tests")]
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use mobilenet_formats::MemoryFiles;
use mobilenet_formats::archive::{Compression, write};
use mobilenet_hub::{Hub, HubOptions, Timeouts};

/// A folder for one test, removed at its end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "mobilenet-hub-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn hub(&self) -> Hub {
        Hub::new(self.options()).unwrap()
    }

    /// Patient enough for a busy machine, quick to retry.
    pub fn options(&self) -> HubOptions {
        HubOptions {
            cache_dir: Some(self.0.clone()),
            timeouts: Timeouts {
                connect: Duration::from_secs(20),
                idle: Duration::from_secs(20),
                total: None,
            },
            retry_pause: Duration::from_millis(1),
            ..Default::default()
        }
    }

    /// All names in the folder that are neither the module, nor notes that belong to it.
    pub fn leftovers(&self) -> Vec<String> {
        let names = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name());
        names
            .map(|name| name.to_str().unwrap().to_owned())
            .filter(|name| {
                [".tmp", ".lock", ".partial", ".partial.txt"].iter().any(|end| name.ends_with(end))
            })
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The files of a module that is whole, with `padding` bytes that do not compress.
pub fn module(padding: usize) -> MemoryFiles {
    let mut files = MemoryFiles::default();
    files.insert("saved_model.pb", &b"the graph"[..]);
    files.insert("tfhub_module.pb", [8, 3]);
    files.insert("variables/variables.index", &b"the index"[..]);
    files.insert("variables/variables.data-00000-of-00001", noise(padding));
    files.insert_folder("assets");
    files
}

pub fn archive(padding: usize) -> Vec<u8> {
    write(&module(padding), Compression::Gzip).unwrap()
}

/// Bytes that do not compress (a multiplicative generator, seed 1).
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// What a client asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub target: String,
    pub headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What the server writes to a connection, after which it closes it.
pub type Script = Box<dyn Fn(&Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync>;

/// A server on loopback: answer `k` of the list for request `k`, the last one for all after it.
pub struct Server {
    pub address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(script: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new((VecDeque::from(script), None::<Arc<Script>>)));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                thread::spawn(move || serve(stream, &seen, &script));
            }
        });
        Server { address, requests }
    }

    /// One that always answers the same.
    pub fn always(script: Script) -> Self {
        Self::start(vec![script])
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

type Queue = Mutex<(VecDeque<Script>, Option<Arc<Script>>)>;

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Request>>, script: &Queue) {
    let Some(request) = read_request(&stream) else { return };
    let answer = {
        let mut queue = script.lock().unwrap();
        seen.lock().unwrap().push(request.clone());
        if let Some(next) = queue.0.pop_front() {
            queue.1 = Some(Arc::new(next));
        }
        queue.1.clone().unwrap()
    };
    // A client that hangs up is part of the game.
    let _ = answer(&request, &mut stream);
    let _ = stream.flush();
    let _ = stream.shutdown(Shutdown::Write);
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    let mut request = Request { target: first.split(' ').nth(1)?.to_owned(), headers: Vec::new() };
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Some(request)
}

/// A head with these lines, closed with `Connection: close`, then `body`.
pub fn raw(status: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    for header in headers {
        answer += &format!("{header}\r\n");
    }
    let mut answer = (answer + "\r\n").into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// Always these bytes, whatever is asked.
pub fn bytes(answer: Vec<u8>) -> Script {
    Box::new(move |_, stream| stream.write_all(&answer))
}

pub fn status(status: &'static str) -> Script {
    bytes(raw(status, &["Content-Length: 0"], b""))
}

pub fn redirect(location: &str) -> Script {
    bytes(raw("302 Found", &[&format!("Location: {location}"), "Content-Length: 0"], b""))
}

/// The file as a decent server sends it: with length, and parts of it on request.
pub fn file(body: Vec<u8>) -> Script {
    versioned(body, "\"v1\"")
}

pub fn versioned(body: Vec<u8>, etag: &'static str) -> Script {
    Box::new(move |request, stream| {
        let from = range(request).filter(|_| request.header("if-range") == Some(etag));
        stream.write_all(&answer(&body, etag, from))
    })
}

pub fn answer(body: &[u8], etag: &str, from: Option<usize>) -> Vec<u8> {
    let tag = format!("ETag: {etag}");
    match from {
        Some(from) if from < body.len() => {
            let range = format!("Content-Range: bytes {from}-{}/{}", body.len() - 1, body.len());
            let length = format!("Content-Length: {}", body.len() - from);
            raw("206 Partial Content", &[&tag, &range, &length], &body[from..])
        }
        Some(_) => raw("416 Range Not Satisfiable", &["Content-Length: 0"], b""),
        None => raw("200 OK", &[&tag, &format!("Content-Length: {}", body.len())], body),
    }
}

pub fn range(request: &Request) -> Option<usize> {
    request.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

/// The head and the first `sent` bytes of the body, then silence on the line.
pub fn cut(body: Vec<u8>, sent: usize) -> Script {
    Box::new(move |_, stream| {
        let whole = answer(&body, "\"v1\"", None);
        let head = whole.len() - body.len();
        stream.write_all(&whole[..head + sent.min(body.len())])
    })
}

/// `body` in blocks with a pause after each.
pub fn slow(body: Vec<u8>, block: usize, pause: Duration) -> Script {
    Box::new(move |request, stream| {
        let from = range(request).filter(|_| request.header("if-range") == Some("\"v1\""));
        for block in answer(&body, "\"v1\"", from).chunks(block) {
            stream.write_all(block)?;
            stream.flush()?;
            thread::sleep(pause);
        }
        Ok(())
    })
}

/// All bytes of the files below `root`, by path.
pub fn on_disk(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let inner = on_disk(&path).into_iter();
            files.extend(inner.map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            files.push((name, std::fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

/// Asserts that the files of `module` are those of [`module()`] with this padding.
pub fn assert_whole(module: &mobilenet_hub::ModuleDir, padding: usize) {
    let expected: Vec<(String, Vec<u8>)> =
        self::module(padding).iter().map(|(p, b)| (p.to_owned(), b.to_vec())).collect();
    let found = match module.path() {
        Some(path) => on_disk(path),
        None => unreachable!("a downloaded module is on disk"),
    };
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!(found == expected, "{} differs", found.0);
    }
}

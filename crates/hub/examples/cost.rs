//! What resolving an archive file costs, and what its copy in the cache costs when it is opened
//! again: `cargo run --release -p mobilenet-hub --example cost -- 1.tar.gz`.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use mobilenet_formats::FileSource;
use mobilenet_hub::{Handle, Hub, HubOptions, Verify};

const ROUNDS: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("which archive?")?;
    let cache = std::env::temp_dir().join(format!("mobilenet-cost-{}", std::process::id()));
    let options = HubOptions { cache_dir: Some(cache.clone()), ..Default::default() };
    let hub = Hub::new(options.clone())?;
    let url = serve(std::fs::read(&path)?)?;
    let (url, file) = (Handle::parse(&url)?, Handle::from_path(&path));

    let start = Instant::now();
    hub.resolve(&url)?;
    println!("download, unpack, sync      {:>9.1?}", start.elapsed());
    time("open the archive file       ", || hub.resolve(&file))?;
    time("open the cached module      ", || hub.resolve(&url))?;
    time("  and read its files        ", || {
        let module = hub.resolve(&url)?;
        module.paths().iter().try_for_each(|path| module.read(path).map(drop))?;
        Ok::<_, Box<dyn Error>>(())
    })?;
    let thorough = Hub::new(HubOptions { verify: Verify::All, ..options })?;
    time("open it hashing every file  ", || thorough.resolve(&url))?;
    std::fs::remove_dir_all(cache)?;
    Ok(())
}

fn time<T, E>(what: &str, mut work: impl FnMut() -> Result<T, E>) -> Result<(), E> {
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        drop(work()?);
        times.push(start.elapsed());
    }
    times.sort();
    let (min, median) = (times.first().copied(), times.get(ROUNDS / 2).copied());
    println!(
        "{what} {:>9.1?} min {:>9.1?} median",
        min.unwrap_or_default(),
        median.unwrap_or_default()
    );
    Ok(())
}

/// Answers one request on loopback with `body`; gives its address.
fn serve(body: Vec<u8>) -> Result<String, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/1.tar.gz", listener.local_addr()?);
    std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let _ = stream.read(&mut [0; 4096])?;
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())?;
        stream.write_all(&body)
    });
    Ok(url)
}

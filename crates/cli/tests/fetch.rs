//! `mobilenet fetch` and `cache` with a server on loopback: downloaded once, listed, checked,
//! removed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{Ran, World};

/// Serves `body` to whoever asks for a path that ends in `.tar.gz`, whatever the query; 404 for
/// all else. Gives the address and the count of what was sent.
fn serve(body: Vec<u8>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let request = lines.next().unwrap_or_default();
            // The rest of the head; a client that is not heard out may not listen either.
            let _ = lines.take_while(|line| !line.is_empty()).count();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let known = path.split('?').next().unwrap_or_default().ends_with(".tar.gz");
            let (status, body) =
                if known { ("200 OK", &body[..]) } else { ("404 Not Found", &b"no"[..]) };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let mut stream = &stream;
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
            count.fetch_add(usize::from(known), Ordering::Relaxed);
        }
    });
    (address, sent)
}

fn online(world: &World, arguments: &[&str]) -> Ran {
    let output = world.command(arguments).env_remove("MOBILENET_OFFLINE").output().unwrap();
    Ran {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_module_is_fetched_once_and_then_works_offline() {
    let world = World::new();
    let (address, sent) = serve(std::fs::read(world.path("module.tar")).unwrap());
    let handle = format!("{address}/birds/1.tar.gz");

    let offline = world.run(&["fetch", &handle]);
    assert_eq!(offline.status, 2);
    assert!(offline.stderr.contains("offline"), "{}", offline.stderr);
    let first = online(&world, &["fetch", &handle]);
    assert_eq!(first.status, 0, "{}", first.stderr);
    assert!(std::path::Path::new(first.stdout.trim()).exists(), "{}", first.stdout);
    let again = online(&world, &["fetch", &handle]);
    assert_eq!((again.stdout, sent.load(Ordering::Relaxed)), (first.stdout, 1));

    let with = world.run(&["classify", "--jsonl", "--module", &handle, "a.bmp"]);
    assert_eq!(with.status, 0, "{}", with.stderr);
    assert_eq!(with.stdout, world.run(&["classify", "--jsonl", "a.bmp"]).stdout);

    let missing = online(&world, &["fetch", &format!("{address}/gone"), &handle]);
    assert_eq!(missing.status, 1, "one of two: {}", missing.stderr);
    assert!(missing.stderr.contains("404"), "{}", missing.stderr);
}

#[test]
fn the_cache_shows_checks_and_forgets_what_was_fetched() {
    let world = World::new();
    let (address, _) = serve(std::fs::read(world.path("module.tar")).unwrap());
    let handle = format!("{address}/birds/1.tar.gz");
    let path = online(&world, &["fetch", &handle]).stdout.trim().to_owned();

    let list = |world: &World| -> serde_json::Value {
        serde_json::from_str(&world.run(&["cache", "list", "--json"]).stdout).unwrap()
    };
    let entries = list(&world);
    assert_eq!(
        (&entries[0]["path"], &entries[0]["state"]),
        (&path.as_str().into(), &"whole".into())
    );
    assert!(entries[0]["bytes"].as_u64() > Some(1000));
    assert!(world.run(&["cache", "list"]).stdout.contains("birds"));
    assert_eq!(world.run(&["cache", "verify"]).status, 0);

    let weights = std::path::Path::new(&path).join("variables/variables.data-00000-of-00001");
    let mut bytes = std::fs::read(&weights).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let damaged = world.run(&["cache", "verify", &handle]);
    assert_eq!(damaged.status, 1, "{}", damaged.stdout);
    assert!(damaged.stdout.contains("damaged"), "{}", damaged.stdout);

    assert_eq!(world.run(&["cache", "remove", &handle]).status, 0);
    assert_eq!(list(&world), serde_json::json!([]));
    assert!(!std::path::Path::new(&path).exists());
}

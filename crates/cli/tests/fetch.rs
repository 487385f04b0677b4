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

/// Where `tensorflow_hub` keeps mobilenet_v1_025_192/classification/1: the SHA-1 of its handle.
const KEY: &str = "b20fac96d6207a1c0d5dfd9798daa75b2e9adb87";

#[test]
fn the_family_is_listed_with_what_is_cached() {
    let world = World::new();
    let list = |more: &[&str]| -> Vec<serde_json::Value> {
        let ran = world.run(&[&["list", "--json"], more].concat());
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let (floats, all) = (list(&[]), list(&["--all"]));
    assert_eq!((floats.len(), all.len()), (16, 64));
    assert!(floats.iter().all(|row| row["kind"] == "classification" && all.contains(row)));
    let mut handles = std::collections::BTreeSet::new();
    for row in &all {
        let percent = (100.0 * row["depth_multiplier"].as_f64().unwrap()).round();
        let (side, kind) = (row["image_size"].as_u64().unwrap(), row["kind"].as_str().unwrap());
        let name = format!("mobilenet_v1_{percent:03}_{side}/{kind}/1");
        assert_eq!(row["handle"], format!("https://tfhub.dev/google/imagenet/{name}"));
        assert!(
            [100.0, 75.0, 50.0, 25.0].contains(&percent) && [224, 192, 160, 128].contains(&side)
        );
        assert_eq!(row["top5"].is_null(), kind.starts_with("quantops"), "{name}");
        assert_eq!(row["cached"], false, "{name}");
        assert!(handles.insert(name), "twice");
    }
    // As slim's README and the paper have them; trained values and multiply-adds are counted.
    for (name, top1, top5, parameters, multiply_adds) in [
        ("mobilenet_v1_100_224/classification/1", 70.9, Some(89.9), 4_233_001, 568_741_376),
        ("mobilenet_v1_050_160/classification/1", 59.1, Some(81.9), 1_332_105, 76_525_312),
        ("mobilenet_v1_025_192/classification/1", 47.7, Some(72.3), 470_329, 30_212_864),
        ("mobilenet_v1_025_128/quantops/feature_vector/1", 39.9, None, 213_072, 13_314_048),
    ] {
        let row = all.iter().find(|row| row["handle"].as_str().unwrap().ends_with(name)).unwrap();
        let found = (row["top1"].as_f64().unwrap(), row["top5"].as_f64());
        assert_eq!(found, (top1, top5), "{name}");
        let counted = (row["parameters"].as_u64(), row["multiply_adds"].as_u64());
        assert_eq!(counted, (Some(parameters), Some(multiply_adds)), "{name}");
    }

    // One module put into the cache as tensorflow_hub does; no other row changes.
    let (address, _) = serve(std::fs::read(world.path("module.tar")).unwrap());
    let fetched = online(&world, &["fetch", &format!("{address}/any/1.tar.gz")]).stdout;
    let cache = world.path("cache");
    std::fs::rename(fetched.trim(), cache.join(KEY)).unwrap();
    let handle = "https://tfhub.dev/google/imagenet/mobilenet_v1_025_192/classification/1";
    let descriptor = format!("Module: {handle}\nDownload Time: today\nDownloader Hostname: here\n");
    std::fs::write(cache.join(format!("{KEY}.descriptor.txt")), descriptor).unwrap();
    let found = world.run(&["fetch", handle]);
    assert_eq!(found.stdout.trim(), cache.join(KEY).to_str().unwrap(), "{}", found.stderr);
    let after = list(&["--all"]);
    let cached: Vec<_> = after.iter().filter(|row| row["cached"] == true).collect();
    assert_eq!(cached.len(), 1);
    assert_eq!(cached[0]["handle"], handle);
    let text = world.run(&["list"]).stdout;
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("  yes ")).collect();
    assert!(text.lines().count() == 17 && lines.len() == 1 && lines[0].ends_with(handle), "{text}");

    // Not counted as here once a file of it has gone.
    std::fs::remove_file(cache.join(KEY).join("saved_model.pb")).unwrap();
    assert!(list(&["--all"]).iter().all(|row| row["cached"] == false));
}

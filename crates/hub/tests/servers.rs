//! Servers that lie, stall, break off and lead astray.
#![allow(clippy::panic, clippy::print_stdout, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use common::{
    Folder, Script, Server, answer, archive, assert_whole, bytes, cut, file, range, raw, redirect,
    slow, status, versioned,
};
use mobilenet_hub::{Error, ErrorKind, Handle, Hub, HubOptions, Redirects, Timeouts};

const PADDING: usize = 200_000;

fn fetch(folder: &Folder, server: &Server) -> Result<mobilenet_hub::ModuleDir, Error> {
    folder.hub().resolve(&Handle::parse(&server.url("/m/1.tar.gz")).unwrap())
}

/// Resolves against `script`, which must fail; nothing but an unfinished download may be left.
fn fails(script: Script, kind: ErrorKind) -> String {
    let (folder, server) = (Folder::new(), Server::always(script));
    let error = fetch(&folder, &server).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    let left = folder.leftovers();
    assert!(left.iter().all(|name| name.contains(".partial")), "{left:?}");
    assert!(folder.hub().cache().list().unwrap().iter().all(|entry| entry.checksum.is_none()));
    error.to_string()
}

fn download_kind(text: &str) -> bool {
    text.contains("no module at `") && text.matches("/m/1.tar.gz").count() >= 2
}

#[test]
fn a_page_with_status_200_is_no_model() {
    let page = b"<!DOCTYPE html><html><body>Log in</body></html>";
    let script = bytes(raw("200 OK", &["Content-Type: text/html"], page));
    let text = fails(script, ErrorKind::Archive);
    assert!(text.contains("text/html") && download_kind(&text), "{text}");
}

#[test]
fn bytes_that_are_no_archive_say_so() {
    let text = fails(bytes(raw("200 OK", &["Content-Length: 5"], b"hello")), ErrorKind::Archive);
    assert!(text.contains("hello"), "{text}");
    fails(bytes(raw("200 OK", &["Content-Length: 0"], b"")), ErrorKind::Archive);
}

#[test]
fn a_length_that_is_too_short_is_a_broken_archive() {
    let whole = archive(PADDING);
    let script = bytes(raw("200 OK", &[&format!("Content-Length: {}", whole.len() / 2)], &whole));
    let text = fails(script, ErrorKind::Archive);
    assert!(text.contains(&format!("({} bytes)", whole.len() / 2)), "{text}");
}

#[test]
fn a_length_that_is_too_long_is_a_cut_connection() {
    let whole = archive(PADDING);
    let length = format!("Content-Length: {}", whole.len() + 1);
    let text = fails(bytes(raw("200 OK", &[&length], &whole)), ErrorKind::Network);
    assert!(text.contains("after 5 attempts"), "{text}");
}

#[test]
fn an_archive_cut_off_without_a_length_is_noticed() {
    let whole = archive(PADDING);
    fails(bytes(raw("200 OK", &[], &whole[..whole.len() / 2])), ErrorKind::Archive);
}

#[test]
fn a_model_file_of_which_nobody_says_where_it_ends_is_refused() {
    let model = b"\x1c\0\0\0TFL3 and more";
    let text = fails(bytes(raw("200 OK", &[], model)), ErrorKind::Server);
    assert!(text.contains("may be cut off"), "{text}");
    let chunks = [b"11\r\n", &model[..], b"\r\n0\r\n\r\n"].concat();
    for answer in [
        raw("200 OK", &[&promise(model)], model),
        raw("200 OK", &["Transfer-Encoding: chunked"], &chunks),
    ] {
        let (folder, server) = (Folder::new(), Server::always(bytes(answer)));
        assert_eq!(fetch(&folder, &server).unwrap().size(), model.len() as u64);
    }
    let (folder, server) = (Folder::new(), Server::always(bytes(raw("200 OK", &[], &archive(9)))));
    assert_whole(&fetch(&folder, &server).unwrap(), 9);
}

#[test]
fn an_interrupted_download_goes_on_where_it_was() {
    let whole = archive(PADDING);
    let server = Server::start(vec![cut(whole.clone(), 90_000), file(whole.clone())]);
    let folder = Folder::new();
    assert_whole(&fetch(&folder, &server).unwrap(), PADDING);
    let requests = server.requests();
    assert_eq!((requests.len(), range(&requests[1])), (2, Some(90_000)));
    assert_eq!(requests[1].header("if-range"), Some("\"v1\""));
    assert!(folder.leftovers().is_empty());
}

#[test]
fn the_next_process_goes_on_too() {
    let whole = archive(PADDING);
    let folder = Folder::new();
    let server = Server::start(vec![cut(whole.clone(), 50_000), file(whole)]);
    let handle = Handle::parse(&server.url("/1.tar.gz")).unwrap();
    let impatient = HubOptions { retries: 0, ..folder.options() };
    let error = Hub::new(impatient).unwrap().resolve(&handle).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
    assert_whole(&folder.hub().resolve(&handle).unwrap(), PADDING);
    assert_eq!(range(&server.requests()[1]), Some(50_000));
}

#[test]
fn a_server_that_ignores_ranges_starts_again() {
    let whole = archive(PADDING);
    let ignorant = bytes(answer(&whole, "\"v1\"", None));
    let server = Server::start(vec![cut(whole, 90_000), ignorant]);
    assert_whole(&fetch(&Folder::new(), &server).unwrap(), PADDING);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_file_that_changed_meanwhile_is_fetched_whole() {
    let (old, new) = (archive(PADDING + 1), archive(PADDING));
    let server = Server::start(vec![cut(old, 90_000), versioned(new, "\"v2\"")]);
    assert_whole(&fetch(&Folder::new(), &server).unwrap(), PADDING);
}

#[test]
fn a_server_that_sends_the_rest_of_another_file_is_not_believed() {
    let (old, new) = (archive(PADDING + 1), archive(PADDING));
    // Ignores If-Range, but its ETag gives it away.
    let other = new.clone();
    let careless: Script = Box::new(move |request, stream| {
        stream.write_all(&answer(&other, "\"v2\"", range(request)))
    });
    let server = Server::start(vec![cut(old.clone(), 90_000), careless]);
    assert_whole(&fetch(&Folder::new(), &server).unwrap(), PADDING);

    // Lies about that too: the archive does not fit together, and is fetched from the start.
    let lying: Script =
        Box::new(move |request, stream| stream.write_all(&answer(&new, "\"v1\"", range(request))));
    let server = Server::start(vec![cut(old, 90_000), lying]);
    assert_whole(&fetch(&Folder::new(), &server).unwrap(), PADDING);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn the_wrong_part_is_not_appended() {
    let whole = archive(PADDING);
    let wrong = whole.clone();
    let script: Script =
        Box::new(move |_, stream| stream.write_all(&answer(&wrong, "\"v1\"", Some(10))));
    let server = Server::start(vec![cut(whole.clone(), 90_000), script, file(whole)]);
    assert_whole(&fetch(&Folder::new(), &server).unwrap(), PADDING);
}

#[test]
fn a_server_error_is_tried_again() {
    let script = vec![
        status("500 Internal Server Error"),
        bytes(raw("503 Service Unavailable", &["Retry-After: 0", "Content-Length: 0"], b"")),
        file(archive(PADDING)),
    ];
    let server = Server::start(script);
    assert_whole(&fetch(&Folder::new(), &server).unwrap(), PADDING);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_server_error_that_stays_is_given_up() {
    let text = fails(status("500 Internal Server Error"), ErrorKind::Server);
    assert!(text.contains("500") && text.contains("after 5 attempts"), "{text}");
}

#[test]
fn what_is_not_there_or_not_allowed_is_not_tried_again() {
    for (line, kind) in [
        ("404 Not Found", ErrorKind::NotFound),
        ("410 Gone", ErrorKind::NotFound),
        ("403 Forbidden", ErrorKind::Server),
        ("401 Unauthorized", ErrorKind::Server),
        ("204 No Content", ErrorKind::Server),
    ] {
        let server = Server::always(status(line));
        let error = fetch(&Folder::new(), &server).unwrap_err();
        assert_eq!((error.kind(), server.requests().len()), (kind, 1), "{error}");
    }
}

#[test]
fn nobody_there_fails_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let handle = Handle::parse(&format!("http://{address}/1.tar.gz")).unwrap();
    let error = Folder::new().hub().resolve(&handle).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(!error.to_string().contains("attempts"), "{error}");
}

#[test]
fn answers_that_are_no_http_are_errors() {
    let error = |answer: &[u8]| {
        let server = Server::always(bytes(answer.to_vec()));
        fetch(&Folder::new(), &server).unwrap_err().kind()
    };
    assert!(matches!(error(b"hello\r\n\r\n"), ErrorKind::Server | ErrorKind::Network));
    assert!(matches!(error(b""), ErrorKind::Server | ErrorKind::Network));
    let endless = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 1 << 20]].concat();
    assert!(matches!(error(&endless), ErrorKind::Server | ErrorKind::Network));
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let whole = archive(PADDING);
    let silent: Script = Box::new(move |_, stream| {
        let whole = answer(&whole, "\"v1\"", None);
        stream.write_all(&whole[..1000])?;
        stream.flush()?;
        std::thread::sleep(Duration::from_secs(30));
        Ok(())
    });
    let (folder, server) = (Folder::new(), Server::always(silent));
    let timeouts = Timeouts { idle: Duration::from_millis(200), ..folder.options().timeouts };
    let hub = Hub::new(HubOptions { timeouts, retries: 1, ..folder.options() }).unwrap();
    let start = Instant::now();
    let error = hub.resolve(&Handle::parse(&server.url("/1.tar.gz")).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network, "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_slow_server_is_not_a_silent_one() {
    let (folder, whole) = (Folder::new(), archive(20_000));
    let server = Server::always(slow(whole, 2_000, Duration::from_millis(60)));
    let timeouts = Timeouts { idle: Duration::from_millis(600), ..folder.options().timeouts };
    let hub = Hub::new(HubOptions { timeouts, retries: 0, ..folder.options() }).unwrap();
    let handle = Handle::parse(&server.url("/1.tar.gz")).unwrap();
    assert_whole(&hub.resolve(&handle).unwrap(), 20_000);
}

#[test]
fn redirects_are_followed_to_a_limit() {
    let goal = Server::always(file(archive(PADDING)));
    let server = Server::start(vec![redirect("/moved.tar.gz?x=1"), redirect(&goal.url("/x"))]);
    assert_whole(&fetch(&Folder::new(), &server).unwrap(), PADDING);
    assert_eq!(server.requests()[1].target, "/moved.tar.gz?x=1");

    let server = Server::always(redirect("/again"));
    let error = fetch(&Folder::new(), &server).unwrap_err();
    assert_eq!((error.kind(), server.requests().len()), (ErrorKind::Redirect, 11), "{error}");
}

#[test]
fn redirects_never_leave_the_web() {
    // The empty one leads to itself.
    for location in ["file:///etc/passwd", "ftp://h/x", "gs://b/x", "javascript:0", "data:,x", ""] {
        let text = fails(redirect(location), ErrorKind::Redirect);
        assert!(text.contains("redirect"), "{text}");
    }
    fails(bytes(raw("302 Found", &["Content-Length: 0"], b"")), ErrorKind::Redirect);
}

#[test]
fn a_redirect_limit_of_zero_allows_none() {
    let (folder, server) = (Folder::new(), Server::always(redirect("/x")));
    let redirects = Redirects { limit: 0, ..Default::default() };
    let hub = Hub::new(HubOptions { redirects, ..folder.options() }).unwrap();
    let error = hub.resolve(&Handle::parse(&server.url("/1.tar.gz")).unwrap()).unwrap_err();
    assert_eq!((error.kind(), server.requests().len()), (ErrorKind::Redirect, 1));
}

#[test]
fn a_promised_checksum_is_held_against_the_bytes() {
    let whole = archive(PADDING);
    let length = format!("Content-Length: {}", whole.len());
    let wrong = "1B2M2Y8AsgTpgAmY7PhCfg==";
    for header in [
        format!("X-Goog-Hash: md5={wrong}"),
        format!("Content-MD5: {wrong}"),
        "X-Goog-Hash: crc32c=AAAAAA==".into(),
    ] {
        let text = fails(bytes(raw("200 OK", &[&length, &header], &whole)), ErrorKind::Checksum);
        assert!(text.contains("promised"), "{text}");
    }
    let (folder, right) = (Folder::new(), promise(&whole));
    let server = Server::always(bytes(raw("200 OK", &[&length, &right], &whole)));
    assert_whole(&fetch(&folder, &server).unwrap(), PADDING);
}

fn promise(bytes: &[u8]) -> String {
    use base64::Engine as _;
    use md5::Digest as _;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let crc = crc32c::crc32c(bytes).to_be_bytes();
    format!("X-Goog-Hash: crc32c={},md5={}", encode(&crc), encode(&md5::Md5::digest(bytes)))
}

#[test]
fn a_broken_promise_may_be_an_accident() {
    let whole = archive(PADDING);
    let mut damaged = whole.clone();
    damaged[5_000] ^= 1;
    let (length, promise) = (format!("Content-Length: {}", whole.len()), promise(&whole));
    let answer = |body: &[u8]| bytes(raw("200 OK", &[&length, &promise], body));
    let server = Server::start(vec![answer(&damaged), answer(&whole)]);
    assert_whole(&fetch(&Folder::new(), &server).unwrap(), PADDING);
}

#[test]
fn a_download_over_the_limit_stops() {
    let whole = archive(PADDING);
    for answer in [
        // As it says, and without saying so.
        raw("200 OK", &[&format!("Content-Length: {}", whole.len())], &whole),
        raw("200 OK", &["Content-Length: 18446744073709551615"], &whole),
        raw("200 OK", &[], &whole),
    ] {
        let (folder, server) = (Folder::new(), Server::always(bytes(answer)));
        let hub = Hub::new(HubOptions { download_bytes: 70_000, ..folder.options() }).unwrap();
        let error = hub.resolve(&Handle::parse(&server.url("/1.tar.gz")).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        assert!(folder.leftovers().is_empty());
        let _ = fs::remove_dir_all(&folder.0);
    }
}

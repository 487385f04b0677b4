//! `https`: servers must prove who they are, and a redirect does not drop the encryption.
#![allow(clippy::panic, clippy::print_stdout, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use common::{Folder, Server, answer, archive, assert_whole, file, raw};
use mobilenet_hub::{Error, ErrorKind, Handle, Hub, HubOptions, ModuleDir, Redirects};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A server whose certificate nobody has signed; gives its address.
fn unknown_server(answer: Vec<u8>) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = StreamOwned::new(connection, stream);
            // A client that does not like the certificate hangs up.
            let _ = tls.read(&mut [0; 4096]).and_then(|_| tls.write_all(&answer));
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    });
    address
}

fn fetch(address: &str, options: HubOptions) -> Result<ModuleDir, Error> {
    let handle = Handle::parse(&format!("{address}/1.tar.gz")).unwrap();
    Hub::new(options).unwrap().resolve(&handle)
}

#[test]
fn an_unknown_certificate_is_refused_unless_checking_is_switched_off() {
    let (folder, address) = (Folder::new(), unknown_server(answer(&archive(0), "\"v1\"", None)));
    let error = fetch(&address, folder.options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(error.to_string().contains("certificate"), "{error}");

    let trusting = HubOptions { check_certificates: false, ..folder.options() };
    assert_whole(&fetch(&address, trusting).unwrap(), 0);
}

#[test]
fn https_does_not_lead_to_http_unless_allowed() {
    let plain = Server::always(file(archive(0)));
    let location = format!("Location: {}", plain.url("/1.tar.gz"));
    let address = unknown_server(raw("302 Found", &[&location, "Content-Length: 0"], b""));
    let folder = Folder::new();
    let trusting = HubOptions { check_certificates: false, ..folder.options() };
    let error = fetch(&address, trusting.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Redirect);
    assert!(error.to_string().contains("from https to http") && plain.requests().is_empty());

    let redirects = Redirects { allow_downgrade: true, ..Default::default() };
    assert_whole(&fetch(&address, HubOptions { redirects, ..trusting }).unwrap(), 0);
}

#[test]
fn a_server_that_does_not_speak_tls_is_an_error() {
    let server = Server::always(file(archive(0)));
    let error = fetch(&server.address.replace("http:", "https:"), Folder::new().options());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Network);
}

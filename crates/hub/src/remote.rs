//! The resolvers for URLs: what is in the cache, and what a download brings there.

use std::fs;

use crate::download::{Archive, download};
use crate::error::At;
use crate::forms::{self, Form, Source};
use crate::handle::Place;
use crate::install::{self, Package, install};
use crate::layout::Layout;
use crate::lock::{self, Lock};
use crate::manifest::Manifest;
use crate::partial::Partial;
use crate::progress::Progress;
use crate::resolve::{Hub, Outcome};
use crate::store::{State, open};
use crate::{Error, ErrorKind, Handle, Result};

/// Why a path is none of the business of the resolvers here.
pub(crate) const NOT_A_URL: &str = "not a URL";
const NOT_REMOTE: Outcome = Outcome::Declined(NOT_A_URL);

/// A module that has been downloaded before.
pub(crate) fn cached(hub: &Hub, handle: &Handle) -> Result<Outcome> {
    if !handle.is_remote() {
        return Ok(NOT_REMOTE);
    }
    let layout = hub.layout(handle);
    match look(hub, handle, &layout)? {
        State::Absent => Ok(Outcome::Declined("not downloaded yet")),
        State::Whole(manifest) => {
            finish(hub, &layout, &manifest);
            Ok(found(&manifest, &layout, handle))
        }
        State::Damaged(error) => {
            let reason = error.to_string();
            hub.options().report(&Progress::Repairing { handle: handle.as_str(), reason: &reason });
            Err(error)
        }
    }
}

/// A download of the file that `form` makes of the URL.
pub(crate) fn fetch(hub: &Hub, handle: &Handle, form: Form) -> Result<Outcome> {
    let Place::Remote(url) = handle.place() else { return Ok(NOT_REMOTE) };
    let source = match form(url, hub.options()) {
        Ok(source) => source,
        Err(reason) => return Ok(Outcome::Declined(reason)),
    };
    if hub.options().offline {
        let message = format!("{}: not downloaded, working offline", source.url);
        return Err(Error::new(ErrorKind::Offline, message));
    }
    let layout = hub.layout(handle);
    fs::create_dir_all(layout.cache()).at(layout.cache(), "make the cache folder")?;
    let lock = Lock::acquire(&layout, handle.as_str(), hub.options())?;
    // Whoever had the lock before may have done the work.
    if let State::Whole(manifest) = look(hub, handle, &layout)? {
        return Ok(found(&manifest, &layout, handle));
    }
    lock::clean(&layout, hub.options().stale_lock);
    let name = forms::file_name(url);
    let manifest = bring(hub, (handle, &name), &source, &layout, &lock)?;
    hub.options().report(&Progress::Done { handle: handle.as_str() });
    Ok(found(&manifest, &layout, handle))
}

/// Does what is left of the work of a process that died after its module was in place.
fn finish(hub: &Hub, layout: &Layout, manifest: &Manifest) {
    let age = hub.options().stale_lock;
    let Some(_lock) = Lock::left_behind(layout, age) else { return };
    lock::clean(layout, age);
    // What cannot be done now stays for the next time: the module is whole.
    let _ = install::describe(layout, &manifest.handle);
    let _ = Partial::new(layout).discard();
}

fn look(hub: &Hub, handle: &Handle, layout: &Layout) -> Result<State> {
    open(layout, handle.as_str(), hub.options().verify, &hub.options().limits)
}

fn found(manifest: &Manifest, layout: &Layout, handle: &Handle) -> Outcome {
    Outcome::Found(State::module(manifest, layout, handle))
}

/// Downloads and installs, a model file under the name `called`; once more from the start if what was
/// resumed does not fit.
fn bring(
    hub: &Hub,
    (handle, called): (&Handle, &str),
    source: &Source,
    layout: &Layout,
    lock: &Lock,
) -> Result<Manifest> {
    loop {
        let archive = download(hub.client(), source, layout, hub.options())?;
        match unpack(hub, (handle, called), &archive, layout, lock) {
            Err(error) if archive.resumed && error.kind() != ErrorKind::Io => {}
            result => return result,
        }
    }
}

/// Installs what was downloaded, which is done with then unless the disk is to blame.
fn unpack(
    hub: &Hub,
    (handle, called): (&Handle, &str),
    archive: &Archive,
    layout: &Layout,
    lock: &Lock,
) -> Result<Manifest> {
    hub.options().report(&Progress::Unpacking { bytes: archive.bytes });
    let package = Package {
        handle: handle.as_str(),
        source: &archive.url,
        file: &archive.path,
        called,
        ends: archive.ends,
    };
    let installed = install(layout, lock, &package, &hub.options().limits);
    if !installed.as_ref().is_err_and(|error| error.kind() == ErrorKind::Io) {
        Partial::new(layout).discard()?;
    }
    installed.map_err(|error| {
        let message = format!("{} ({} bytes): {error}", archive.url, archive.bytes);
        Error::new(error.kind(), message).caused_by(error)
    })
}

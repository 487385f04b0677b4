//! One download of a module at a time, whoever asks for it.
//!
//! Between processes of ours the operating system keeps the lock (`KEY.guard`) and lets go of it
//! when its holder dies, however it dies. For TensorFlow Hub's own processes, which know nothing
//! of that, the holder also makes their lock file (`KEY.lock`) and respects one it finds, until
//! its owner is dead or its temporary folder has not grown for ten minutes.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use crate::error::{At, at};
use crate::layout::{Layout, OUR_IDS, new_id, remove};
use crate::options::HubOptions;
use crate::progress::Progress;
use crate::{Error, ErrorKind, Result};

/// How often a waiting process looks again.
const POLL: Duration = Duration::from_millis(20);

/// The right to change one module of the cache; given back when dropped or when the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    id: String,
    tensorflow: TensorFlowLock,
    /// Unlocked when closed, after the other lock is gone.
    _guard: File,
}

impl Lock {
    /// Waits for the lock, at most as long as the options say.
    pub(crate) fn acquire(layout: &Layout, handle: &str, options: &HubOptions) -> Result<Self> {
        let mut wait = Wait { handle, options, start: Instant::now(), reported: false };
        let (guard, sure) = guard(layout, &mut wait)?;
        let id = new_id();
        let tensorflow = TensorFlowLock::acquire(layout, &id, sure, &mut wait)?;
        Ok(Lock { id, tensorflow, _guard: guard })
    }

    /// The lock that a dead process left, taken over without waiting; `None` if there is none, and
    /// if its owner may live.
    pub(crate) fn left_behind(layout: &Layout, age: Duration) -> Option<Self> {
        let text = fs::read_to_string(layout.lock()).ok()?;
        let guard = OpenOptions::new().append(true).open(layout.guard()).ok()?;
        guard.try_lock().ok()?;
        if !is_stale(layout, true, age) {
            return None;
        }
        let tensorflow = TensorFlowLock { layout: layout.clone(), text };
        Some(Lock { id: new_id(), tensorflow, _guard: guard })
    }

    /// The id of this download, for its temporary folder.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.tensorflow.release();
    }
}

/// What a process does that waits.
struct Wait<'a> {
    handle: &'a str,
    options: &'a HubOptions,
    start: Instant,
    reported: bool,
}

impl Wait<'_> {
    /// Tells once whom it waits for, sleeps a little, and gives up in the end.
    fn once_more(&mut self, layout: &Layout) -> Result<()> {
        let holder = fs::read_to_string(layout.lock()).unwrap_or_default();
        let holder = holder.rsplit_once('.').map_or("another process", |(who, _)| who);
        if !self.reported {
            self.reported = true;
            self.options.report(&Progress::Waiting { handle: self.handle, holder });
        }
        if self.start.elapsed() > self.options.lock_wait {
            let message = format!(
                "{}: {holder} has been downloading it for more than {:?}",
                self.handle, self.options.lock_wait
            );
            return Err(Error::new(ErrorKind::Locked, message).hint(format!(
                "end that process, or remove {} if it does not exist",
                layout.lock().display()
            )));
        }
        sleep(POLL);
        Ok(())
    }
}

/// The system's lock, and whether it locks: a file system may not, then TensorFlow Hub's must do.
fn guard(layout: &Layout, wait: &mut Wait<'_>) -> Result<(File, bool)> {
    let path = layout.guard();
    let file = OpenOptions::new().create(true).append(true).open(&path).at(&path, "make it")?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok((file, true)),
            Err(TryLockError::WouldBlock) => wait.once_more(layout)?,
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                return Ok((file, false));
            }
            Err(TryLockError::Error(error)) => return Err(at(&path, "lock it", error)),
        }
    }
}

/// TensorFlow Hub's lock file.
#[derive(Debug)]
struct TensorFlowLock {
    layout: Layout,
    text: String,
}

impl TensorFlowLock {
    fn acquire(layout: &Layout, id: &str, sure: bool, wait: &mut Wait<'_>) -> Result<Self> {
        let (path, text) = (layout.lock(), format!("{}.{}.{id}", host(), std::process::id()));
        loop {
            match make(&path, &text) {
                Ok(()) => return Ok(TensorFlowLock { layout: layout.clone(), text }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(at(&path, "make it", error)),
            }
            if is_stale(layout, sure, wait.options.stale_lock) {
                remove(&path).at(&path, "remove what a dead process left")?;
            } else {
                wait.once_more(layout)?;
            }
        }
    }

    /// Removes the file unless somebody has stolen it.
    fn release(&self) {
        let path = self.layout.lock();
        if fs::read_to_string(&path).is_ok_and(|text| text == self.text) {
            let _ = fs::remove_file(path);
        }
    }
}

fn make(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

/// Whether the owner of the lock file is gone. `sure` is whether we hold the system's lock.
fn is_stale(layout: &Layout, sure: bool, age: Duration) -> bool {
    let Ok(text) = fs::read_to_string(layout.lock()) else { return false };
    let Some((owner, id)) = text.rsplit_once('.') else {
        return is_older(&layout.lock(), age);
    };
    let (host_name, pid) = owner.rsplit_once('.').unwrap_or((owner, ""));
    let here = host_name == host();
    // One of ours that lives would hold the system's lock, which we have.
    if sure && here && id.starts_with(OUR_IDS) {
        return true;
    }
    if here && pid.parse().is_ok_and(is_dead) {
        return true;
    }
    let growing = layout.temporary(id);
    if growing.exists() { is_older(&growing, age) } else { is_older(&layout.lock(), age) }
}

/// Whether nothing in the file or folder has changed for `age`.
fn is_older(path: &Path, age: Duration) -> bool {
    let now = SystemTime::now();
    let Ok(changed) = fs::symlink_metadata(path).and_then(|metadata| metadata.modified()) else {
        return false;
    };
    let old = now.duration_since(changed).is_ok_and(|since| since > age);
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    old && entries.map(|entry| entry.path()).all(|path| is_older(&path, age))
}

/// Whether there is certainly no such process.
#[cfg(unix)]
fn is_dead(pid: i32) -> bool {
    let pid = rustix::process::Pid::from_raw(pid);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
fn is_dead(_: i32) -> bool {
    false
}

/// The name of this machine, as it stands in lock files.
#[cfg(unix)]
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
pub(crate) fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "localhost".into())
}

/// Whether a live process holds the system's lock of this module.
pub(crate) fn is_held(layout: &Layout) -> bool {
    let held = |file: File| matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    OpenOptions::new().append(true).open(layout.guard()).is_ok_and(held)
}

/// Removes the temporaries that dead processes left, which the holder of the lock may do: all of
/// ours, and those of TensorFlow Hub that nobody writes to any more.
pub(crate) fn clean(layout: &Layout, age: Duration) {
    for path in layout.temporaries() {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let ours = name.get(layout.key().len() + 1..).is_some_and(|id| id.starts_with(OUR_IDS));
        if ours || is_older(&path, age) {
            let _ = remove(&path);
        }
    }
}

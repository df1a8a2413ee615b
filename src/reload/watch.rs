//! Whether the files of the configuration have changed: the kernel's word for speed, and a look at
//! them every second for certainty.

use std::future::pending;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

use super::reader::Reader;
use crate::config;
use crate::keystore::Stamp;
use crate::socket::watch;

/// How long the files must stay the same before they are read: editors and Kubernetes write in
/// steps.
const QUIET: Duration = Duration::from_millis(100);

/// How often that is waited for: a file that is written to for ever must not put a reload off for
/// ever.
const MAX_WAITS: usize = 20;

/// How often the files are looked at. The kernel says nothing when a folder is deleted and made
/// again, when a link on the way to it is turned, or when another machine changes a network's
/// files; and it may refuse to watch at all.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What is watched, and how it looked when it was last read.
pub(crate) struct Watch {
    /// The configuration, a file or a folder, and the files beside it that its plan names.
    paths: Arc<[PathBuf]>,
    seen: Look,
    armed: Option<Armed>,
    /// What the kernel tells, once there is a runtime.
    notices: Option<AsyncFd<Arc<OwnedFd>>>,
}

impl Watch {
    /// Watches a file or a folder from now on. To lose no change, begin before the first load.
    pub(crate) fn new(path: PathBuf) -> Self {
        let paths = Arc::from([path]);
        // In this order, so that no change falls between the two.
        let armed = Armed::at(&paths, None);
        Self { seen: Look::at(&paths), paths, armed, notices: None }
    }

    /// Watches these files beside the configuration from the next beginning on; says whether they
    /// are others than before.
    pub(crate) fn follow(&mut self, files: Vec<PathBuf>) -> bool {
        let others = self.paths[1..] != files;
        if others {
            self.paths = self.paths[..1].iter().cloned().chain(files).collect();
        }
        others
    }

    /// Listens to the kernel; says whether it can. Must be called within a runtime.
    pub(crate) fn listen(&mut self) -> bool {
        let register = |armed: &Armed| watch(Arc::clone(&armed.inotify), Interest::READABLE).ok();
        self.notices = self.armed.as_ref().and_then(register);
        self.notices.is_some()
    }

    /// Waits for a change, and then until nothing changes any more. Nothing is lost if it is given
    /// up before it ends, as long as a reload follows.
    pub(crate) async fn changed(&self, reader: &Reader) {
        loop {
            tokio::select! {
                () = self.notice() => break,
                () = sleep(LOOK_INTERVAL) => {
                    if self.look(reader).await != self.seen {
                        break;
                    }
                }
            }
        }
        let mut before = self.look(reader).await;
        for _ in 0..MAX_WAITS {
            sleep(QUIET).await;
            let now = self.look(reader).await;
            if !self.has_noticed() && now == before {
                break;
            }
            before = now;
        }
    }

    /// The files are read next: what changes from here on is a change. The folder may be another
    /// than the one that the kernel was told to watch.
    pub(crate) async fn begin_again(&mut self, reader: &Reader) {
        let (paths, armed) = (Arc::clone(&self.paths), self.armed.take());
        let again = reader.run(move || (Armed::at(&paths, armed), Look::at(&paths))).await;
        let Some((armed, seen)) = again else { return };
        (self.armed, self.seen) = (armed, seen);
        if self.notices.is_none() || self.armed.is_none() {
            self.listen();
        }
    }

    async fn look(&self, reader: &Reader) -> Look {
        let paths = Arc::clone(&self.paths);
        reader.run(move || Look::at(&paths)).await.unwrap_or_default()
    }

    /// Waits until the kernel tells of something that may have changed the configuration.
    async fn notice(&self) {
        let Some(notices) = &self.notices else { return pending().await };
        loop {
            let Ok(mut ready) = notices.readable().await else { return pending().await };
            if self.has_noticed() {
                return;
            }
            ready.clear_ready();
        }
    }

    fn has_noticed(&self) -> bool {
        self.armed.as_ref().is_some_and(|armed| armed.has_noticed(&self.paths))
    }
}

/// Folders that the kernel watches (inotify(7)). They are folders and not their files: Kubernetes
/// swaps a link, and a watch on a file is deaf after the first swap.
struct Armed {
    inotify: Arc<OwnedFd>,
    /// One for each path that is watched.
    descriptors: Vec<i32>,
    /// Whether the configuration is a folder.
    is_whole: bool,
}

impl Armed {
    /// Watches the folders that are there now, if the kernel grants all of them.
    fn at(paths: &[PathBuf], previous: Option<Self>) -> Option<Self> {
        let inotify = match previous {
            Some(Self { inotify, descriptors, .. }) => {
                for descriptor in descriptors {
                    // Fails when that folder is gone, or was removed just now by another name.
                    let _ = inotify::remove_watch(&inotify, descriptor);
                }
                inotify
            }
            None => Arc::new(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?),
        };
        let is_whole = paths[0].is_dir();
        let folders = paths.iter().enumerate().map(|(at, path)| match path.parent() {
            _ if at == 0 && is_whole => path,
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        });
        let watch = |folder| inotify::add_watch(&inotify, folder, CHANGES);
        let descriptors = folders.map(watch).collect::<Result<_, _>>().ok()?;
        Some(Self { inotify, descriptors, is_whole })
    }

    /// Takes everything that the kernel has to tell, and says whether any of it may have changed
    /// what is at `paths`.
    fn has_noticed(&self, paths: &[PathBuf]) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut notices = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut found = false;
        loop {
            match notices.next() {
                Ok(notice) => {
                    let name = notice.file_name().map(|name| name.to_string_lossy());
                    found |= match name {
                        Some(name) => self.concerns(paths, &name),
                        // Of the folder itself, or that notices were lost. The other is an echo.
                        None => !notice.events().contains(ReadFlags::IGNORED),
                    };
                }
                Err(Errno::INTR) => {}
                Err(_nothing_left) => return found,
            }
        }
    }

    /// Whether a file of this name counts. Others in the folders do not: keygate's own log may be
    /// one of them, and each reload writes to it.
    fn concerns(&self, paths: &[PathBuf], name: &str) -> bool {
        // `..data` is what Kubernetes swaps.
        name.starts_with("..")
            || self.is_whole && config::is_part(name)
            || paths.iter().any(|path| path.file_name().is_some_and(|own| own == name))
    }
}

/// What may change a file.
const CHANGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// What the kernel tells of all files without reading them; none when those of the configuration
/// cannot be listed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Look(Option<Vec<(PathBuf, Option<Stamp>)>>);

impl Look {
    fn at(paths: &[PathBuf]) -> Self {
        let stamp = |file: PathBuf| {
            let stamp = Stamp::at(&file);
            (file, stamp)
        };
        let files = config::files(&paths[0]);
        let all = files.map(|files| files.into_iter().chain(paths[1..].iter().cloned()));
        Self(all.map(|files| files.map(stamp).collect()))
    }
}

//! Whether the files of the configuration have changed: the kernel's word for speed, and a look at
//! them every second for certainty.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::config;

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
    path: PathBuf,
    seen: Look,
    /// Absent while the kernel refuses to watch.
    watcher: Option<RecommendedWatcher>,
    /// Kept, so that the channel never closes.
    changed: Sender<()>,
    changes: Receiver<()>,
}

impl Watch {
    /// Watches a file or a folder from now on. To lose no change, begin before the first load.
    pub(crate) fn new(path: &Path) -> Self {
        // One reason to reload is as good as many.
        let (changed, changes) = mpsc::channel(1);
        let path = path.to_owned();
        let watcher = armed(None, &path, &changed);
        let seen = Look::at(&path);
        Self { path, seen, watcher, changed, changes }
    }

    /// Whether changes are noticed at once, not only by looking.
    pub(crate) fn is_quick(&self) -> bool {
        self.watcher.is_some()
    }

    /// Waits for a change, and then until nothing changes any more. Nothing is lost if it is given
    /// up before it ends, as long as a reload follows.
    pub(crate) async fn changed(&mut self) {
        loop {
            match timeout(LOOK_INTERVAL, self.changes.recv()).await {
                Ok(_) => break,
                Err(_elapsed) if self.look().await != self.seen => break,
                Err(_elapsed) => {}
            }
        }
        let mut before = self.look().await;
        for _ in 0..MAX_WAITS {
            sleep(QUIET).await;
            let now = self.look().await;
            if self.changes.try_recv().is_err() && now == before {
                break;
            }
            before = now;
        }
    }

    /// The files are read next: what changes from here on is a change. The folder may be another
    /// than the one that the kernel was told to watch.
    pub(crate) async fn begin_again(&mut self) {
        let (path, changed, watcher) =
            (self.path.clone(), self.changed.clone(), self.watcher.take());
        let looked = spawn_blocking(move || (armed(watcher, &path, &changed), Look::at(&path)));
        if let Ok((watcher, seen)) = looked.await {
            (self.watcher, self.seen) = (watcher, seen);
        }
    }

    /// On a thread of its own, because a network's files may keep it waiting.
    async fn look(&self) -> Look {
        let path = self.path.clone();
        spawn_blocking(move || Look::at(&path)).await.unwrap_or_default()
    }
}

/// A watcher of the folder that is there now, if the kernel grants one. The folder is watched and
/// not its files: Kubernetes swaps a link, and a watch on a file is deaf after the first swap.
fn armed(
    watcher: Option<RecommendedWatcher>,
    path: &Path,
    changed: &Sender<()>,
) -> Option<RecommendedWatcher> {
    let folder = match path.parent() {
        _ if path.is_dir() => path,
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut watcher = watcher.or_else(|| {
        let (path, changed) = (path.to_owned(), changed.clone());
        notify::recommended_watcher(move |event| {
            if concerns(&path, &event) {
                // A full channel holds a reason to reload already.
                let _ = changed.try_send(());
            }
        })
        .ok()
    })?;
    // Fails when the folder that was watched is gone.
    let _ = watcher.unwatch(folder);
    watcher.watch(folder, RecursiveMode::NonRecursive).ok()?;
    Some(watcher)
}

/// Whether an event may have changed the configuration. Other files in the folder do not count:
/// keygate's own log may be one of them, and each reload writes to it.
fn concerns(watched: &Path, event: &notify::Result<Event>) -> bool {
    let Ok(event) = event else { return true };
    if matches!(event.kind, EventKind::Access(_)) {
        return false;
    }
    let counts = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        let text = name.to_string_lossy();
        // `..data` is what Kubernetes swaps.
        watched.file_name() == Some(name)
            || text.starts_with("..")
            || config::is_part(&text) && watched.is_dir()
    };
    // An event without a path says that others were lost.
    event.paths.is_empty() || event.paths.iter().any(counts)
}

/// What the kernel tells of all files of the configuration without reading them; none when they
/// cannot be listed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Look(Option<Vec<(PathBuf, Option<Stamp>)>>);

/// Device, inode, size, time of the last write and of the last change of any kind; each write
/// changes the last, which nobody can set.
type Stamp = (u64, u64, u64, [i64; 4]);

impl Look {
    fn at(path: &Path) -> Self {
        let stamp = |file: PathBuf| {
            let stamp = fs::metadata(&file).ok().map(|of| {
                let times = [of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()];
                (of.dev(), of.ino(), of.size(), times)
            });
            (file, stamp)
        };
        Self(config::files(path).map(|files| files.into_iter().map(stamp).collect()))
    }
}

//! What the kernel says about the process of a gate, and what it allows it.

use std::fs::{self, DirEntry, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use super::{Gate, wait_until};

impl Gate {
    /// Waits until every thread sleeps: a worker's has opened all its files only then, which is
    /// after the gate says that it listens.
    #[track_caller]
    pub(super) fn settle(&self) {
        wait_until("all threads sleep", || {
            let tasks = fs::read_dir(format!("/proc/{}/task", self.pid()));
            let sleeps = |task: io::Result<DirEntry>| task.is_ok_and(|task| sleeps(&task.path()));
            tasks.is_ok_and(|mut tasks| tasks.all(sleeps))
        });
    }

    /// How many files it has open, connections included.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }

    /// The memory that is resident, in KiB.
    pub(crate) fn memory_kib(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most memory that was ever resident, in KiB.
    pub(crate) fn highest_memory_kib(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// The processor time that it has used, in hundredths of a second.
    pub(crate) fn processor_time(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        let stat = stat.expect("the process runs");
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
    }

    /// What it can write in its memory, in parts, without the environment: the kernel keeps that.
    pub(crate) fn memory(&self) -> Vec<Vec<u8>> {
        let file = |name: &str| format!("/proc/{}/{name}", self.pid());
        let maps = fs::read_to_string(file("maps")).expect("the process runs");
        let memory = File::open(file("mem")).expect("a parent may look");
        let environment = environment(&fs::read_to_string(file("stat")).expect("the process runs"));
        let parts = maps.lines().filter(|line| line.contains(" rw")).filter_map(|line| {
            let (start, end) = line.split(' ').next()?.split_once('-')?;
            let [start, end] = [start, end].map(|number| u64::from_str_radix(number, 16));
            let (start, end) = (start.ok()?, end.ok()?);
            let within = |at: u64| usize::try_from(at.clamp(start, end) - start).ok();
            let mut bytes = vec![0; within(end)?];
            memory.read_exact_at(&mut bytes, start).ok()?;
            bytes[within(environment.start)?..within(environment.end)?].fill(0);
            Some(bytes)
        });
        parts.collect()
    }

    /// How often each of its workers has gone to sleep.
    pub(crate) fn sleeps(&self) -> Vec<u64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the process runs");
        let statuses = tasks.flatten().map(|task| fs::read_to_string(task.path().join("status")));
        let statuses = statuses.flatten().filter(|status| status.starts_with("Name:\tworker-"));
        statuses.map(|status| number(&status, "voluntary_ctxt_switches:")).collect()
    }

    /// Sets how many files it may have open: the soft limit.
    pub(crate) fn limit_files(&self, files: usize) {
        let arguments = [format!("--pid={}", self.pid()), format!("--nofile={files}:")];
        let status = Command::new("prlimit").args(arguments).status();
        assert!(status.is_ok_and(|status| status.success()), "prlimit (util-linux) fails");
    }

    fn status(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(path).expect("the process runs");
        number(&status, name)
    }
}

/// The number in the line of a `/proc/.../status` that begins so.
fn number(status: &str, name: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.expect("the kernel tells it of every process")
}

/// Whether the state of a thread, which stands behind its name in parentheses, is `S`.
fn sleeps(task: &Path) -> bool {
    let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
}

/// Where the kernel keeps the environment: the fields 50 and 51 of `stat`.
fn environment(stat: &str) -> Range<u64> {
    let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
    let field = |number: usize| fields.split(' ').nth(number - 3)?.trim().parse().ok();
    field(50).expect("its start")..field(51).expect("its end")
}

//! Sockets that are passed at start (sd_listen_fds(3)): systemd, or another parent, listens, and
//! keygate accepts. They outlive the process, so that a restart loses no connection.

use std::env;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use socket2::SockRef;

use crate::plan::ListenAddr;

/// The variable that holds their names, with colons between them.
const NAMES: &str = "LISTEN_FDNAMES";

/// What systemd names a socket that has no name: by its unit, and what `sd_listen_fds_with_names`
/// says where nothing was said.
const UNIT: &str = ".socket";
const UNKNOWN: &str = "unknown";

/// A socket that is listened on.
#[derive(Debug)]
pub(crate) enum Listening {
    /// For TCP.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

impl Listening {
    /// Where it is reached.
    ///
    /// # Errors
    /// When it has no address: a unix socket without a path.
    pub(crate) fn address(&self) -> io::Result<ListenAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(ListenAddr::Tcp),
            Self::Unix(listener) => {
                let address = listener.local_addr()?;
                let path = address.as_pathname();
                let path = path.ok_or_else(|| io::Error::other("the unix socket has no path"))?;
                Ok(ListenAddr::Unix(path.to_owned()))
            }
        }
    }
}

/// A socket, and its name.
#[derive(Debug)]
struct Passed {
    name: String,
    socket: Listening,
}

/// The sockets that were passed and that no address of the configuration has taken yet.
#[derive(Debug, Default)]
pub struct Sockets(Vec<Passed>);

impl Sockets {
    /// Takes all that were passed to this process, so that nothing that it starts gets them. Call
    /// it before anything is started.
    ///
    /// # Errors
    /// What was passed and cannot be accepted from.
    pub fn receive() -> Result<Self, String> {
        let for_us = env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
        if !for_us {
            return Ok(Self::default());
        }
        let mut sockets = ListenFd::from_env();
        let names = names(env::var(NAMES).ok().as_deref(), sockets.len())?;
        let passed = names.into_iter().enumerate().map(|(index, name)| {
            let socket = take(&mut sockets, index)
                .map_err(|error| format!("cannot listen on the socket `{name}`: {error}"))?;
            Ok(Passed { name, socket })
        });
        passed.collect::<Result<_, _>>().map(Self)
    }

    /// The sockets of this name, or else those that were given none.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn take(&mut self, name: Option<&str>) -> io::Result<Vec<Listening>> {
        let is_meant = |passed: &mut Passed| match name {
            Some(name) => passed.name == name,
            None => is_unnamed(&passed.name),
        };
        let taken: Vec<_> = self.0.extract_if(.., is_meant).map(|passed| passed.socket).collect();
        match taken.is_empty() {
            false => Ok(taken),
            true => Err(io::Error::new(io::ErrorKind::NotFound, self.none_of(name))),
        }
    }

    fn none_of(&self, name: Option<&str>) -> String {
        let passed = match self.names() {
            names if names.is_empty() => "no socket was passed to keygate".to_owned(),
            names => format!("only {names} was passed to keygate"),
        };
        match name {
            Some(name) => format!("{passed} (FileDescriptorName={name} in a .socket unit)"),
            None => format!("{passed} (start it by a .socket unit without FileDescriptorName=)"),
        }
    }

    /// Sees that none is left: connections to it would never be accepted.
    ///
    /// # Errors
    /// Which are left.
    pub(crate) fn finish(&self) -> Result<(), String> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "{} was passed to keygate, but no `listen` takes it: write \"systemd\" or \
                 \"systemd:NAME\", or disable the .socket unit",
                self.names()
            )),
        }
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.0.iter().map(|passed| format!("`{}`", passed.name)).collect();
        names.join(", ")
    }
}

/// Whether nobody has given a socket a name.
fn is_unnamed(name: &str) -> bool {
    name.ends_with(UNIT) || name == UNKNOWN
}

/// One name for each socket.
fn names(written: Option<&str>, count: usize) -> Result<Vec<String>, String> {
    let Some(written) = written.filter(|_| count > 0) else {
        return Ok(vec![UNKNOWN.to_owned(); count]);
    };
    let names: Vec<_> = written.split(':').map(str::to_owned).collect();
    match names.len() == count {
        true => Ok(names),
        false => Err(format!("{count} sockets were passed, but {NAMES} has {}", names.len())),
    }
}

/// Takes one socket; a command that keygate starts does not get it.
fn take(sockets: &mut ListenFd, index: usize) -> io::Result<Listening> {
    let taken = match sockets.take_tcp_listener(index) {
        Ok(taken) => taken.map(Listening::Tcp),
        Err(_no_tcp) => sockets.take_unix_listener(index)?.map(Listening::Unix),
    };
    let socket = taken.ok_or(io::ErrorKind::NotFound)?;
    let reference = match &socket {
        Listening::Tcp(listener) => SockRef::from(listener),
        Listening::Unix(listener) => SockRef::from(listener),
    };
    if !reference.is_listener()? {
        return Err(io::Error::other(
            "it is a connection, not a socket to accept from (Accept=no)",
        ));
    }
    reference.set_nonblocking(true)?;
    if matches!(socket, Listening::Tcp(_)) {
        // As on sockets of our own: Linux hands it down to what is accepted.
        reference.set_tcp_nodelay(true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: Option<&str>, count: usize, expected: Option<&[&str]>) {
        let expected = expected.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(names(written, count).ok(), expected);
    }

    #[test]
    fn every_socket_has_one_name() {
        check(None, 0, Some(&[]));
        check(Some(""), 0, Some(&[]));
        check(None, 2, Some(&["unknown", "unknown"]));
        check(Some("keygate.socket"), 1, Some(&["keygate.socket"]));
        check(Some("web:admin"), 2, Some(&["web", "admin"]));
        check(Some("web"), 2, None);
        check(Some("web:admin:more"), 2, None);
    }

    fn passed(names: &[&str]) -> Sockets {
        let socket = || TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let passed =
            |name: &&str| Passed { name: (*name).to_owned(), socket: Listening::Tcp(socket()) };
        Sockets(names.iter().map(passed).collect())
    }

    #[test]
    fn an_address_takes_the_sockets_of_its_name_and_no_others() {
        let mut sockets = passed(&["web", "keygate.socket", "web", "unknown", "admin"]);
        assert_eq!(sockets.take(Some("web")).map(|taken| taken.len()).ok(), Some(2));
        assert_eq!(sockets.take(None).map(|taken| taken.len()).ok(), Some(2));
        assert!(sockets.take(Some("web")).is_err(), "they are taken already");
        let left = sockets.finish().expect_err("one is left");
        assert!(left.contains("`admin`"), "{left}");
        assert_eq!(sockets.take(Some("admin")).map(|taken| taken.len()).ok(), Some(1));
        assert_eq!(sockets.finish(), Ok(()));
    }
}

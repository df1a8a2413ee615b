//! How keygate is, for whoever started it and wants to know (sd_notify(3)): it is ready, it reads
//! its configuration again, it stops. Nobody is told unless `NOTIFY_SOCKET` says whom.

use sd_notify::NotifyState;

/// The variable that says whom to tell. A command that keygate starts does not get it.
pub(crate) const SOCKET: &str = "NOTIFY_SOCKET";

/// It listens.
pub(crate) fn ready() {
    send(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// The configuration is read again. The time tells this reload from one before the signal that
/// asked for it (`Type=notify-reload`).
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "there is no clock to tell the time of a reload by"),
    }
}

/// The configuration has been read: it serves now, or the old one goes on.
pub(crate) fn reloaded(whole: bool) {
    let status = match whole {
        true => "serving; the configuration was reloaded",
        false => "serving the old configuration: the new one is wrong, the log says why",
    };
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// No more is accepted.
pub(crate) fn stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("answering what is in flight")]);
}

fn send(states: &[NotifyState<'_>]) {
    // Whoever does not listen is none the worse for it.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot tell the service manager");
    }
}

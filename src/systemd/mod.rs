//! What systemd and keygate tell each other: sockets that were passed at start, and how keygate is.

pub(crate) mod notify;
pub mod sockets;

//! TLS for [`Client`]s and [`Origin`]s, which speak in the clear: something between them and the
//! gate encrypts.

mod certificates;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, ServerConfig};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, copy, copy_bidirectional};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub(crate) use certificates::{Authority, Certificate};

use super::{Client, DEADLINE, Gate, Origin};

/// How a client shakes hands.
#[derive(Clone)]
pub(crate) struct Shaking {
    config: ClientConfig,
    name: String,
    is_narrow: bool,
}

/// What a handshake came to.
#[derive(Debug)]
pub(crate) struct Shaken {
    /// Whether a session went on.
    pub(crate) resumed: bool,
    /// The certificate that the gate has shown.
    pub(crate) certificate: Vec<u8>,
    /// The protocol that was agreed on.
    pub(crate) alpn: Option<Vec<u8>>,
}

impl Shaking {
    /// Believes these authorities, and asks for `localhost`.
    pub(crate) fn with(roots: RootCertStore) -> Self {
        Self::showing(roots, None)
    }

    /// The same, with a certificate of its own.
    pub(crate) fn showing(roots: RootCertStore, own: Option<&Certificate>) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("they are supported")
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let (chain, key) = own.parts();
                builder.with_client_auth_cert(chain, key).expect("they belong together")
            }
        };
        config.resumption = Resumption::in_memory_sessions(8);
        Self { config, name: "localhost".to_owned(), is_narrow: false }
    }

    /// Asks for this name, and wants it in the certificate.
    pub(crate) fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Takes little of what is on its way.
    pub(crate) fn narrow(mut self) -> Self {
        self.is_narrow = true;
        self
    }

    /// Asks for no name.
    pub(crate) fn nameless(mut self) -> Self {
        self.config.enable_sni = false;
        self
    }

    /// Speaks these protocols.
    pub(crate) fn alpn(mut self, protocols: &[&[u8]]) -> Self {
        self.config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        self
    }

    /// Connects to a gate; the client then speaks in the clear.
    pub(crate) fn client(&self, gate: &Gate) -> Client {
        self.shake(gate.address).expect("hands are shaken").0
    }

    /// Connects, and says what the handshake came to.
    pub(crate) fn shake(&self, address: SocketAddr) -> Result<(Client, Shaken), String> {
        if self.is_narrow {
            let narrow = Client::narrow(address);
            return self.shake_over(narrow.stream().try_clone().expect("a socket can be shared"));
        }
        let tcp = TcpStream::connect(address).map_err(|error| error.to_string())?;
        self.shake_over(tcp)
    }

    /// The same over a connection that is there.
    pub(crate) fn shake_over(&self, tcp: TcpStream) -> Result<(Client, Shaken), String> {
        let connector = TlsConnector::from(Arc::new(self.config.clone()));
        let name = ServerName::try_from(self.name.clone()).expect("it is a name");
        let (near, far) = pair(self.is_narrow);
        let (done, shaken) = mpsc::channel();
        thread::spawn(move || {
            run(async move {
                let tls = match connector.connect(name, tokio_tcp(tcp)).await {
                    Ok(tls) => tls,
                    Err(error) => return drop(done.send(Err(error.to_string()))),
                };
                let session = tls.get_ref().1;
                let shown = session.peer_certificates().and_then(|shown| shown.first());
                let _ = done.send(Ok(Shaken {
                    resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
                    certificate: shown.map(|shown| shown.to_vec()).unwrap_or_default(),
                    alpn: session.alpn_protocol().map(<[u8]>::to_vec),
                }));
                join(tokio_tcp(far), tls).await;
            });
        });
        let shaken = shaken.recv_timeout(DEADLINE).expect("a handshake comes to an end")?;
        Ok((Client::over(near), shaken))
    }
}

impl Certificate {
    /// As rustls takes them.
    pub(crate) fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.cert.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes());
        (chain.map(|one| one.expect("it is one")).collect(), key.expect("it is one"))
    }

    /// Its first certificate as it goes over the wire.
    pub(crate) fn der(&self) -> Vec<u8> {
        self.parts().0[0].to_vec()
    }
}

/// How what stands before an origin ends a connection that the origin has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With TLS's own end.
    Proper,
    /// Without it, as somebody on the way could.
    Truncated,
}

/// An origin behind TLS; gives the address to connect to.
pub(crate) fn before(origin: &Origin, config: ServerConfig, ending: Ending) -> SocketAddr {
    before_address(origin.address, config, ending)
}

/// The same before whatever listens there.
pub(crate) fn before_address(
    origin: SocketAddr,
    config: ServerConfig,
    ending: Ending,
) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    serve(listener, origin, config, ending, Duration::ZERO)
}

/// The same before an origin, which takes little of what is on its way to it, and begins to read
/// only after a while.
pub(crate) fn before_late(origin: &Origin, config: ServerConfig, pause: Duration) -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are sockets");
    socket.set_tcp_mss(536).expect("a socket can be told its segments");
    socket.set_recv_buffer_size(16 * 1024).expect("a socket can be told its buffer");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).and_then(|()| socket.listen(64)).expect("there is a free port");
    serve(socket.into(), origin.address, config, Ending::Proper, pause)
}

fn serve(
    listener: TcpListener,
    origin: SocketAddr,
    config: ServerConfig,
    ending: Ending,
    pause: Duration,
) -> SocketAddr {
    let address = listener.local_addr().expect("it is bound");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    thread::spawn(move || {
        run(async move {
            let _ = listener.set_nonblocking(true);
            let listener = tokio::net::TcpListener::from_std(listener).expect("it is registered");
            while let Ok((tcp, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                spawn_local(async move {
                    let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                    tokio::time::sleep(pause).await;
                    let Ok(mut clear) = tokio::net::TcpStream::connect(origin).await else {
                        return;
                    };
                    match ending {
                        Ending::Proper => join(clear, tls).await,
                        Ending::Truncated => {
                            let (mut from, mut to) = clear.split();
                            let (mut read, mut write) = tokio::io::split(&mut tls);
                            tokio::select! {
                                _ = copy(&mut from, &mut write) => {}
                                _ = copy(&mut read, &mut to) => {}
                            }
                        }
                    }
                });
            }
        });
    });
    address
}

/// What an origin shows, without asking for anything.
pub(crate) fn shows(certificate: &Certificate) -> ServerConfig {
    let (chain, key) = certificate.parts();
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("they are supported")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("they belong together")
}

fn run(future: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.expect("a runtime starts").block_on(future);
}

/// Carries bytes in both directions; an end that is none of TLS becomes a reset.
async fn join(mut clear: tokio::net::TcpStream, mut tls: impl AsyncRead + AsyncWrite + Unpin) {
    if copy_bidirectional(&mut clear, &mut tls).await.is_err() {
        let _ = SockRef::from(&clear).set_linger(Some(Duration::ZERO));
    }
}

fn tokio_tcp(stream: TcpStream) -> tokio::net::TcpStream {
    stream.set_nonblocking(true).and_then(|()| registered(stream)).expect("it is registered")
}

fn registered(stream: TcpStream) -> io::Result<tokio::net::TcpStream> {
    stream.set_nodelay(true)?;
    tokio::net::TcpStream::from_std(stream)
}

/// Two ends of a connection; of a narrow one, the far end's socket takes little as well.
fn pair(is_narrow: bool) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    let near = match is_narrow {
        true => Client::narrow(address).stream().try_clone(),
        false => TcpStream::connect(address),
    };
    let (far, _) = listener.accept().expect("one has connected");
    if is_narrow {
        SockRef::from(&far).set_send_buffer_size(4096).expect("it can be told");
    }
    (near.expect("it listens"), far)
}

//! `keygate demo`: an origin without authentication, the gate in front of it, and a fresh key.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Channel, Full};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::{Failure, serve};
use crate::config::Environment;
use crate::config::options::Options;
use crate::keys;
use crate::plan::Plan;
use crate::reload::Source;

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the gate listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: String,
}

type OriginBody = UnsyncBoxBody<Bytes, Infallible>;

/// Serves until it is stopped.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), Failure> {
    let origin = start_origin().map_err(|error| Failure::runtime(format!("error: {error}")))?;
    let key = keys::format::generate(PREFIX)
        .map_err(|error| Failure::runtime(format!("error: {error}")))?;
    let environment = Environment::from_iter([("API_KEY", key.as_str())]);
    let options = Options {
        upstream: format!("http://{origin}"),
        listen: Some(args.listen.clone()),
        ..Options::default()
    };
    let load =
        move |previous: Option<&Plan>| serve::without_files(&options, &environment, previous);
    let source = Source::new(load, None);
    serve::start(source, |addresses| {
        if let Some(address) = addresses.first() {
            // Whoever closed the standard output wants no lines to try.
            let _ = write!(out, "{}", tutorial(&address.to_string(), &key));
        }
    })
}

/// The prefix of a key that is of no use anywhere else.
const PREFIX: &str = "demo";

fn tutorial(address: &str, key: &str) -> String {
    format!(
        "keygate guards an origin without authentication at http://{address}\n\
         The key of this run: {key}\n\n\
         A request without a key, refused at once:\n  curl -i http://{address}/hello\n\
         One with a wrong key, refused after half a second:\n  \
         curl -i -H 'X-API-Key: wrong' http://{address}/hello\n\
         One with the key; the origin prints what it sees of it:\n  \
         curl -i -H 'X-API-Key: {key}' http://{address}/hello\n\
         The same, as OpenAI's clients send it:\n  \
         curl -i -H 'Authorization: Bearer {key}' http://{address}/hello\n\
         A stream, one event at a time:\n  \
         curl -N -H 'X-API-Key: {key}' http://{address}/events\n\
         What is open to everybody:\n  curl -i http://{address}/health\n\n\
         Stop it with Ctrl-C.\n"
    )
}

/// Starts the origin on a thread of its own.
fn start_origin() -> std::io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("origin".into()).spawn(move || {
        runtime.block_on(async {
            if let Ok(listener) = TcpListener::from_std(listener) {
                serve_origin(listener).await;
            }
        });
    })?;
    Ok(address)
}

async fn serve_origin(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let service = service_fn(async |request| Ok::<_, Infallible>(respond(&request)));
            // A client that goes away is no concern of a demonstration.
            let _ = Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn respond(request: &Request<Incoming>) -> Response<OriginBody> {
    match request.uri().path() {
        "/health" => text("ok\n".to_owned()),
        "/events" => events(),
        _ => text(seen(request)),
    }
}

/// What the origin sees of a request: the key is not in it.
fn seen(request: &Request<Incoming>) -> String {
    let mut seen = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        seen.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    seen
}

fn text(body: String) -> Response<OriginBody> {
    Response::new(Full::new(Bytes::from(body)).boxed_unsync())
}

/// A stream of events, as a language model's words come.
fn events() -> Response<OriginBody> {
    const WORDS: [&str; 5] = ["One", "word", "at", "a", "time."];
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
    tokio::spawn(async move {
        for word in WORDS {
            let event = Bytes::from(format!("data: {word}\n\n"));
            if sender.send(Frame::data(event)).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    let mut response = Response::new(body.boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

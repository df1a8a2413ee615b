//! From what the environment says about a collector to how it is reached.

use std::path::PathBuf;

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue, Uri};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::collector::Collector;
use super::variables::Variables;
use crate::config::problem::Fault;
use crate::forward::headers::trailer_may_pass;
use crate::http1::field_line;
use crate::tls::connector::{Connector, Trust, system_roots};
use crate::tls::pem::{PemFile, pair};

/// Where it is, and where it is for traces alone.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// What it wants to be told with each request: keys, for the most part.
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];

/// Whose certificates are believed, and what it is shown.
const AUTHORITIES: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
const CLIENT_CERTIFICATE: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"];
const CLIENT_KEY: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"];

/// What stands behind the address that serves all signals.
const PATH: &str = "/v1/traces";

/// Whether a collector is named.
pub(super) fn is_named(variables: &Variables<'_>) -> bool {
    variables.first(ENDPOINTS).is_some()
}

/// How the collector is reached that is told so about itself; none if that cannot be: of what is
/// wrong it is warned.
pub(super) fn collector(variables: &mut Variables<'_>, resource: Vec<u8>) -> Option<Collector> {
    let (name, written) = variables.first(ENDPOINTS)?;
    let url = Url::parse(written, name == ENDPOINTS[1]);
    let Some(url) = url else {
        let what = "is no URL that begins with http:// or https:// and names a host; nothing is \
                    exported";
        variables.warn(name, what);
        return None;
    };
    let tls = match url.is_secure {
        true => Some(connector(variables)?),
        false => None,
    };
    let head = head(variables, &url);
    Some(Collector { host: url.host, port: url.port, tls, head, resource })
}

/// Where a collector is.
#[derive(Debug, PartialEq, Eq)]
struct Url {
    is_secure: bool,
    host: String,
    port: u16,
    /// The host and the port as they are written.
    authority: String,
    /// What is asked for.
    target: String,
}

impl Url {
    /// Reads an address that serves traces, or all signals.
    fn parse(text: &str, serves_all: bool) -> Option<Self> {
        let uri = Uri::try_from(text).ok()?;
        let is_secure = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority = uri.authority().filter(|it| !it.as_str().contains('@'))?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let target = match serves_all {
            true => format!("{}{PATH}", uri.path().trim_end_matches('/')),
            false => uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        };
        let authority = authority.to_string();
        Some(Self { is_secure, host, port, authority, target }).filter(|url| !url.host.is_empty())
    }
}

/// The beginning of each request.
fn head(variables: &mut Variables<'_>, url: &Url) -> Zeroizing<Vec<u8>> {
    let mut head = Zeroizing::new(Vec::new());
    let lines = format!("POST {} HTTP/1.1\r\nHost: {}\r\n", url.target, url.authority);
    head.extend_from_slice(lines.as_bytes());
    let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    field_line::write(&mut head, &USER_AGENT, agent.as_bytes());
    field_line::write(&mut head, &CONTENT_TYPE, b"application/x-protobuf");
    let Some((variable, _)) = variables.first(HEADERS) else { return head };
    for (index, (name, value)) in variables.pairs(variable).into_iter().enumerate() {
        let (name, value) = (name.parse::<HeaderName>(), HeaderValue::try_from(value));
        match (name, value) {
            (Ok(name), Ok(value)) if may_be_said(&name) => {
                field_line::write(&mut head, &name, value.as_bytes());
            }
            _ => {
                let what = format!("has a header that cannot be sent: number {}", index + 1);
                variables.warn(variable, what);
            }
        }
    }
    head
}

/// Whether an operator may say it: nothing that frames the request, or says what it is.
fn may_be_said(name: &HeaderName) -> bool {
    let is_credential = [http::header::AUTHORIZATION, http::header::COOKIE].contains(name);
    is_credential || *name != USER_AGENT && trailer_may_pass(name, &[])
}

/// How a collector is met over TLS.
fn connector(variables: &mut Variables<'_>) -> Option<Connector> {
    let trust = match variables.first(AUTHORITIES) {
        Some((name, path)) => {
            let roots = PemFile::read(PathBuf::from(path)).and_then(|file| file.authorities());
            Trust::Authorities(readable(variables, name, roots)?)
        }
        None => match system_roots() {
            Some(roots) => Trust::Authorities(roots),
            None => {
                let what = "is not set, and this system has no certificates of authorities; \
                            nothing is exported";
                variables.warn(AUTHORITIES[1], what);
                return None;
            }
        },
    };
    let own = match (variables.first(CLIENT_CERTIFICATE), variables.first(CLIENT_KEY)) {
        (None, None) => None,
        (Some((name, cert)), Some((_, key))) => {
            let read = own_certificate(cert, key);
            Some(readable(variables, name, read)?)
        }
        (Some((name, _)), None) | (None, Some((name, _))) => {
            variables.warn(name, "is half of a certificate and its key; nothing is exported");
            return None;
        }
    };
    match Connector::new(trust, own, None, (String::new(), Vec::new()), Vec::new()) {
        Ok(connector) => Some(connector),
        Err(why) => {
            variables.warn(ENDPOINTS[1], format!("needs TLS: {why}; nothing is exported"));
            None
        }
    }
}

fn own_certificate(cert: &str, key: &str) -> Result<CertifiedKey, Fault> {
    let chain = PemFile::read(PathBuf::from(cert)).and_then(|file| file.certificates())?;
    let key = PemFile::read(PathBuf::from(key)).and_then(|file| file.private_key())?;
    pair(chain, key)
}

fn readable<T>(variables: &mut Variables<'_>, name: &str, read: Result<T, Fault>) -> Option<T> {
    let unreadable =
        |fault: Fault| variables.warn(name, format!("{}; nothing is exported", fault.message));
    read.map_err(unreadable).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    #[track_caller]
    fn check(text: &str, serves_all: bool, expected: &str) {
        let url = Url::parse(text, serves_all);
        let shown = url.map_or_else(String::new, |url| {
            let Url { is_secure, host, port, authority, target } = url;
            format!("{is_secure} {host} {port} {authority} {target}")
        });
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn an_endpoint_is_a_url() {
        check("http://c:4318", true, "false c 4318 c:4318 /v1/traces");
        check("http://c:4318/", true, "false c 4318 c:4318 /v1/traces");
        check("https://c/otlp/", true, "true c 443 c /otlp/v1/traces");
        check("http://c", false, "false c 80 c /");
        check("http://c/v1/traces", false, "false c 80 c /v1/traces");
        check("http://c/x/?t=1", false, "false c 80 c /x/?t=1");
        check("http://[::1]:4318", true, "false ::1 4318 [::1]:4318 /v1/traces");
        for wrong in ["c:4318", "grpc://c:4317", "http://", "http://u:p@c", "/v1/traces", "a b"] {
            check(wrong, true, "");
        }
    }

    #[test]
    fn a_request_says_what_the_operator_wants_but_for_what_frames_it() {
        let said = "Authorization=Basic%20YQ%3D%3D,x-a=1,Content-Length=0,host=x,bad name=1,\
                    x-b=1%0d%0ax-c: 2,connection=close,te=trailers,content-type=a,x-d=2";
        let environment = Environment::from_iter([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"),
            ("OTEL_EXPORTER_OTLP_HEADERS", said),
        ]);
        let mut variables = Variables::new(&environment);
        let collector = collector(&mut variables, Vec::new()).expect("it can be reached");
        let head = String::from_utf8(collector.head.to_vec()).expect("it is text");
        let expected = concat!(
            "POST /v1/traces HTTP/1.1\r\nHost: c\r\nuser-agent: keygate/",
            env!("CARGO_PKG_VERSION"),
            "\r\ncontent-type: application/x-protobuf\r\nauthorization: Basic YQ==\r\n\
             x-a: 1\r\nx-d: 2\r\n"
        );
        assert_eq!(head, expected);
        assert_eq!(variables.warnings.len(), 7, "{:?}", variables.warnings);
    }
}

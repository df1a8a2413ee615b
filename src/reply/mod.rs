//! Every response that keygate writes itself; nothing else chooses a status.

mod cause;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

pub use self::cause::{Cause, Code};
use crate::fields::Fields;
use crate::head::ResponseHead;
use crate::headers;
use crate::limit::report::Report;
use crate::limit::subject::By;
use crate::limit::usage::Refusal;
use crate::verdict::Asker;

/// How the body of a reply is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The plain sentence.
    #[default]
    Text,
    /// One object that FastAPI clients, OpenAI's SDKs and RFC 9457 clients all read.
    Json,
}

/// How one location answers errors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorStyle {
    /// The form of the body.
    pub format: Format,
    /// The operator's own words for [`Cause::MissingKey`].
    pub missing: Option<Arc<str>>,
    /// The operator's own words for [`Cause::InvalidKey`].
    pub invalid: Option<Arc<str>>,
    /// Whether whoever asks judges by the status: a refusal of a gRPC call is no 200 then.
    pub by_status: bool,
}

impl ErrorStyle {
    /// The operator's own words.
    fn own(&self, cause: Cause) -> Option<&str> {
        match cause {
            Cause::MissingKey => self.missing.as_deref(),
            Cause::InvalidKey => self.invalid.as_deref(),
            _ => None,
        }
    }

    fn sentence(&self, cause: Cause) -> &str {
        self.own(cause).unwrap_or_else(|| cause.sentence())
    }

    /// The sentence as a body, which is in memory already if it is not the operator's.
    fn text(&self, cause: Cause) -> Bytes {
        match self.own(cause) {
            Some(own) => Bytes::copy_from_slice(own.as_bytes()),
            None => Bytes::from_static(cause.sentence().as_bytes()),
        }
    }
}

/// A decision to answer a request here; [`Reply::response`] writes it.
#[derive(Debug)]
pub struct Reply {
    /// Why.
    pub cause: Cause,
    /// How long to wait before the answer is sent.
    pub pause: Option<Duration>,
    /// The limit that was met; boxed, because a reply goes through many hands.
    pub limit: Option<Box<Report>>,
    /// The challenge of a 401 (RFC 9110, section 11.6.1).
    pub challenge: Option<HeaderValue>,
    /// Whether the connection ends with this answer.
    pub close: bool,
}

impl From<Cause> for Reply {
    fn from(cause: Cause) -> Self {
        Self { cause, pause: None, limit: None, challenge: None, close: false }
    }
}

/// What of a request decides how a reply to it is written.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The location's style.
    pub style: &'a ErrorStyle,
    /// The request's header fields.
    pub headers: &'a Fields,
    /// The request's id.
    pub request_id: HeaderValue,
}

impl Asked<'_> {
    fn is_grpc(&self) -> bool {
        !self.style.by_status
            && headers::is_media_type(self.headers, &CONTENT_TYPE, "application/grpc")
    }

    fn wants_problem(&self) -> bool {
        self.headers
            .get_all(&ACCEPT)
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.to_ascii_lowercase().contains(PROBLEM_JSON))
    }
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM_JSON: &str = "application/problem+json";

impl Reply {
    /// Answers and ends the connection.
    pub fn closing(cause: Cause) -> Self {
        Self { close: true, ..Self::from(cause) }
    }

    /// Tells a proxy that what it holds may go on, and the strictest limit that it was charged to.
    pub(crate) fn leave(asker: Option<Asker>, limit: Option<Report>) -> Self {
        Self { limit: limit.map(Box::new), ..Self::from(Cause::Leave(asker)) }
    }

    /// Answers that a limit was met.
    pub fn limited(by: By, refusal: &Refusal) -> Self {
        let wait = refusal.wait;
        let cause = match refusal.is_quota {
            true => Cause::QuotaExceeded(wait),
            false => Cause::RateLimited(wait),
        };
        let limit = refusal.standing.map(|standing| Box::new(Report { by, standing }));
        Self { limit, ..Self::from(cause) }
    }

    /// Writes the response; its fields are appended to `headers`. No body names a key, an upstream
    /// address or a version.
    pub fn response(self, asked: Asked<'_>, mut headers: Fields) -> (ResponseHead, Bytes) {
        let (status, body) = if matches!(self.cause, Cause::Preflight | Cause::Leave(_)) {
            (self.cause.status(), Bytes::new())
        } else if asked.is_grpc() {
            self.grpc(asked.style.sentence(self.cause), &mut headers)
        } else {
            self.plain(&asked, &mut headers)
        };
        if let Some(challenge) = self.challenge {
            headers.append(WWW_AUTHENTICATE, challenge);
        }
        headers.append(CACHE_CONTROL, const { HeaderValue::from_static("no-store") });
        headers.append(headers::X_REQUEST_ID, asked.request_id);
        match self.cause {
            Cause::RateLimited(wait) | Cause::QuotaExceeded(wait) => {
                headers.append(RETRY_AFTER, whole_seconds(wait));
                let is_quota = matches!(self.cause, Cause::QuotaExceeded(_));
                if is_quota || wait > SOON {
                    let never = HeaderValue::from_static("false");
                    headers.append(HeaderName::from_static("x-should-retry"), never);
                }
            }
            Cause::NoHealthyUpstream(wait) => {
                headers.append(RETRY_AFTER, whole_seconds(wait));
            }
            Cause::TooManyAtOnce | Cause::Overloaded => {
                headers.append(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Cause::MethodNotAllowed => {
                headers.append(ALLOW, HeaderValue::from_static(ALLOWED_METHODS));
            }
            _ => {}
        }
        if let Some(limit) = &self.limit {
            limit.write(&mut headers);
        }
        if self.close {
            headers.append(CONNECTION, const { HeaderValue::from_static("close") });
        }
        (ResponseHead { status, reason: None, headers }, body)
    }

    fn plain(&self, asked: &Asked<'_>, headers: &mut Fields) -> (StatusCode, Bytes) {
        let (media_type, body) = match asked.style.format {
            Format::Text => (TEXT, asked.style.text(self.cause)),
            Format::Json if asked.wants_problem() => {
                (HeaderValue::from_static(PROBLEM_JSON), self.json(asked, true).into())
            }
            Format::Json => (JSON, self.json(asked, false).into()),
        };
        headers.append(CONTENT_TYPE, media_type);
        if asked.style.format == Format::Json {
            // Where Anthropic's SDKs look for it; OpenAI's read `X-Request-Id`.
            headers.append(HeaderName::from_static("request-id"), asked.request_id.clone());
        }
        (self.cause.status(), body)
    }

    fn json(&self, asked: &Asked<'_>, problem: bool) -> String {
        let sentence = asked.style.sentence(self.cause);
        let status = self.cause.status();
        let body = ErrorBody {
            detail: sentence,
            error: ErrorObject {
                message: sentence,
                kind: self.cause.kind(),
                param: (),
                code: self.cause.code().as_str(),
            },
            request_id: asked.request_id.to_str().unwrap_or_default(),
            problem: problem.then(|| ProblemMembers {
                kind: "about:blank",
                title: status.canonical_reason().unwrap_or_default(),
                status: status.as_u16(),
            }),
        };
        // Strings and numbers can always be written as JSON.
        serde_json::to_string(&body).unwrap_or_default()
    }

    /// A response of trailers only (gRPC over HTTP/2, "Responses").
    fn grpc(&self, sentence: &str, headers: &mut Fields) -> (StatusCode, Bytes) {
        headers.append(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.append(
            HeaderName::from_static("grpc-status"),
            HeaderValue::from_static(self.cause.grpc_status()),
        );
        if let Ok(message) = HeaderValue::from_str(&percent_encode(sentence)) {
            headers.append(HeaderName::from_static("grpc-message"), message);
        }
        (StatusCode::OK, Bytes::new())
    }
}

/// The body of an error in JSON: `detail` is what FastAPI's clients read, `error` what OpenAI's
/// SDKs read.
#[derive(Serialize)]
struct ErrorBody<'a> {
    detail: &'a str,
    error: ErrorObject<'a>,
    request_id: &'a str,
    #[serde(flatten)]
    problem: Option<ProblemMembers>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: (),
    code: &'static str,
}

/// The members of RFC 9457 that `detail` does not cover.
#[derive(Serialize)]
struct ProblemMembers {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
}

/// The methods that a 405 names; `CONNECT` and `TRACE` are the two that are refused.
const ALLOWED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// How long a client may well wait. The SDKs of OpenAI and Anthropic send a request again unless
/// `x-should-retry` says otherwise, and whoever waits longer for an answer has left.
const SOON: Duration = Duration::from_secs(60);

/// A wait as `Retry-After` wants it: whole seconds, never fewer than it takes.
fn whole_seconds(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

/// Encodes a `grpc-message`: printable ASCII but `%` stands for itself.
fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

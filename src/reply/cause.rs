//! Why keygate answers a request itself, and what it says then.

use std::time::Duration;

use http::StatusCode;

use crate::verdict::Asker;

/// Why keygate answers a request itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The request cannot be read in one way only.
    BadRequest,
    /// It comes in the clear to where TLS is spoken.
    NotEncrypted,
    /// `CONNECT` or `TRACE`.
    MethodNotAllowed,
    /// No location matches.
    NotFound,
    /// The request carries no key.
    MissingKey,
    /// The key is unknown, malformed, expired or disabled, or there are several.
    InvalidKey,
    /// The key is valid but not for this request.
    KeyNotAllowed,
    /// Too many failures or requests; the client may try again after this long.
    RateLimited(Duration),
    /// The same of a quota: waiting does not help soon.
    QuotaExceeded(Duration),
    /// Too many requests of the same client, key or consumer at once.
    TooManyAtOnce,
    /// The client's address may not come here.
    AddressNotAllowed,
    /// A browser asks whether it may send a request; it is told so, and nothing is wrong.
    Preflight,
    /// A location without an upstream gives leave to whoever asks.
    Leave(Option<Asker>),
    /// The request's body is longer than the location allows.
    PayloadTooLarge,
    /// The request's head is longer than the server allows.
    HeadTooLarge,
    /// The request's target is longer than any.
    TargetTooLong,
    /// The client stopped sending its body.
    RequestTimeout,
    /// The location is at its limit of concurrent requests.
    Overloaded,
    /// The upstream cannot be reached, or what it says is not HTTP.
    BadGateway,
    /// The upstream did not answer in time.
    UpstreamTimeout,
    /// The health checks have found no address of the upstream that serves; they ask again after
    /// this long.
    NoHealthyUpstream(Duration),
}

impl Cause {
    /// The status.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::NotEncrypted => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MissingKey | Self::InvalidKey => StatusCode::UNAUTHORIZED,
            Self::KeyNotAllowed | Self::AddressNotAllowed => StatusCode::FORBIDDEN,
            // The others take any 2xx for leave.
            Self::Leave(Some(Asker::Envoy)) => StatusCode::OK,
            Self::Preflight | Self::Leave(_) => StatusCode::NO_CONTENT,
            Self::RateLimited(_) | Self::QuotaExceeded(_) | Self::TooManyAtOnce => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Overloaded | Self::NoHealthyUpstream(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// What a person reads.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad request",
            Self::NotEncrypted => "This port speaks HTTPS: the URL begins with https://",
            Self::MethodNotAllowed => "Method not allowed",
            Self::NotFound => "Not found",
            Self::MissingKey => "Key missing",
            Self::InvalidKey => "Key auth fail",
            Self::KeyNotAllowed => "Key not allowed",
            Self::AddressNotAllowed => "Address not allowed",
            Self::Preflight | Self::Leave(_) => "",
            Self::RateLimited(_) => "Too many requests",
            Self::QuotaExceeded(_) => "Quota exceeded",
            Self::TooManyAtOnce => "Too many requests at once",
            Self::PayloadTooLarge => "Request body too large",
            Self::HeadTooLarge => "Request header too large",
            Self::TargetTooLong => "Request target too long",
            Self::RequestTimeout => "Request body timed out",
            Self::Overloaded => "Too many requests at once",
            Self::BadGateway => "Bad gateway",
            Self::UpstreamTimeout => "Upstream timed out",
            Self::NoHealthyUpstream(_) => "No healthy upstream",
        }
    }

    /// What a program reads.
    pub(crate) fn code(self) -> Code {
        match self {
            Self::BadRequest
            | Self::NotEncrypted
            | Self::MethodNotAllowed
            | Self::RequestTimeout => Code::BadRequest,
            Self::NotFound => Code::NotFound,
            Self::MissingKey => Code::MissingApiKey,
            Self::InvalidKey => Code::InvalidApiKey,
            Self::KeyNotAllowed => Code::KeyNotAllowed,
            Self::AddressNotAllowed => Code::AddressNotAllowed,
            Self::Preflight => Code::Preflight,
            Self::Leave(_) => Code::Allowed,
            Self::RateLimited(_) | Self::TooManyAtOnce | Self::Overloaded => Code::RateLimited,
            Self::QuotaExceeded(_) => Code::QuotaExceeded,
            Self::PayloadTooLarge | Self::HeadTooLarge | Self::TargetTooLong => {
                Code::PayloadTooLarge
            }
            Self::BadGateway => Code::BadGateway,
            Self::UpstreamTimeout => Code::UpstreamTimeout,
            Self::NoHealthyUpstream(_) => Code::NoHealthyUpstream,
        }
    }

    /// The `type` member that OpenAI's SDKs know.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::RateLimited(_) | Self::TooManyAtOnce => "rate_limit_error",
            Self::QuotaExceeded(_) => "insufficient_quota",
            Self::Overloaded
            | Self::BadGateway
            | Self::UpstreamTimeout
            | Self::NoHealthyUpstream(_) => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// The status of gRPC that stands for the HTTP status (grpc/doc/http-grpc-status-mapping.md).
    pub(super) fn grpc_status(self) -> &'static str {
        match self {
            Self::MissingKey | Self::InvalidKey => "16",
            Self::KeyNotAllowed | Self::AddressNotAllowed => "7",
            Self::Preflight | Self::Leave(_) => "0",
            Self::RateLimited(_)
            | Self::QuotaExceeded(_)
            | Self::TooManyAtOnce
            | Self::PayloadTooLarge
            | Self::HeadTooLarge
            | Self::TargetTooLong => "8",
            Self::NotFound | Self::MethodNotAllowed => "12",
            Self::UpstreamTimeout | Self::RequestTimeout => "4",
            Self::BadRequest | Self::NotEncrypted => "3",
            Self::Overloaded | Self::BadGateway | Self::NoHealthyUpstream(_) => "14",
        }
    }
}

/// What programs are told of a request, in the bodies of errors and in metrics: one of a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says what it is: it is the word that is written")]
pub enum Code {
    Allowed,
    BadRequest,
    NotFound,
    MissingApiKey,
    InvalidApiKey,
    KeyNotAllowed,
    AddressNotAllowed,
    Preflight,
    RateLimited,
    QuotaExceeded,
    PayloadTooLarge,
    BadGateway,
    UpstreamTimeout,
    NoHealthyUpstream,
}

impl Code {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 14] = [
        Self::Allowed,
        Self::BadRequest,
        Self::NotFound,
        Self::MissingApiKey,
        Self::InvalidApiKey,
        Self::KeyNotAllowed,
        Self::AddressNotAllowed,
        Self::Preflight,
        Self::RateLimited,
        Self::QuotaExceeded,
        Self::PayloadTooLarge,
        Self::BadGateway,
        Self::UpstreamTimeout,
        Self::NoHealthyUpstream,
    ];

    /// The word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::BadRequest => "bad_request",
            Self::NotFound => "not_found",
            Self::MissingApiKey => "missing_api_key",
            Self::InvalidApiKey => "invalid_api_key",
            Self::KeyNotAllowed => "key_not_allowed",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::Preflight => "preflight",
            Self::RateLimited => "rate_limited",
            Self::QuotaExceeded => "quota_exceeded",
            Self::PayloadTooLarge => "payload_too_large",
            Self::BadGateway => "bad_gateway",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::NoHealthyUpstream => "no_healthy_upstream",
        }
    }
}

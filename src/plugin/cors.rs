//! The plugin `cors`: tells browsers which pages may use the API, and answers their preflights
//! (Fetch, section 3.2).

use std::ops::ControlFlow;
use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN,
    VARY,
};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use toml::Spanned;

use crate::config::load::Section;
use crate::config::problem::Fault;
use crate::config::types::{MethodName, Period, Text, deserialize_text};
use crate::fields::Fields;
use crate::head::{RequestHead, ResponseHead};
use crate::headers;
use crate::plugin::{Built, Cx, Kind, Order, Plugin, Settings, Site};
use crate::reply::{Cause, Reply};

/// What the table of plugins says of it.
pub const KIND: Kind = Kind {
    name: "cors",
    read,
    shown: &[
        "allow_origins",
        "allow_methods",
        "allow_headers",
        "expose_headers",
        "allow_credentials",
        "max_age",
    ],
    bare: &["allow_credentials"],
    named: &[],
};

fn read(section: &mut Section<'_>) -> Option<Box<dyn Settings>> {
    Some(Box::new(section.read::<CorsSettings>()?))
}

/// The methods that any page may use anyway, as far as it needs no preflight.
const METHODS: &str = "GET, HEAD, POST";

/// The settings, as they are written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CorsSettings {
    /// The origins whose pages may use the API.
    allow_origins: Spanned<Vec<Spanned<Allowed>>>,
    /// The methods that they may use; absent: [`METHODS`].
    allow_methods: Option<Vec<MethodName>>,
    /// The header fields that they may send beside those that any page may.
    #[serde(default)]
    allow_headers: Vec<FieldName>,
    /// The header fields that they may read beside those that any page may.
    #[serde(default)]
    expose_headers: Vec<FieldName>,
    /// Whether browsers send cookies along.
    #[serde(default)]
    allow_credentials: bool,
    /// How long browsers may remember the answer to a preflight.
    max_age: Option<Period>,
}

deserialize_text!(Allowed, FieldName);

/// One of `allow_origins`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Allowed {
    /// `*`
    Any,
    /// An origin as browsers send it.
    Origin(Box<str>),
}

impl Text for Allowed {
    const EXPECTED: &'static str = "an origin such as \"https://app.example.com\", or \"*\"";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text == "null" {
            return Err("`null` is what every page in a sandbox says of itself".to_owned());
        }
        let wrong = || format!("expected {}", Self::EXPECTED);
        let (scheme, authority) = text.split_once("://").ok_or_else(wrong)?;
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err("browsers send an origin in lower case".to_owned());
        }
        if authority.contains('/') {
            return Err("an origin has no path, and no `/` at its end".to_owned());
        }
        if authority.contains('*') {
            return Err("a star stands for no part of an origin: list them all".to_owned());
        }
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "1"));
        let is_default = matches!((scheme, port), ("http", "80") | ("https", "443"));
        if is_default {
            return Err(format!("browsers leave the port out: \"{scheme}://{host}\""));
        }
        let is_name = |text: &str, others: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
            !text.is_empty() && text.chars().all(plain)
        };
        let is_port =
            port.parse::<u16>().is_ok_and(|number| number > 0 && port == number.to_string());
        let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_name(host, "-._"),
        };
        match is_name(scheme, "+-.") && is_host && is_port {
            true => Ok(Self::Origin(text.into())),
            false => Err(wrong()),
        }
    }
}

/// The name of a header field.
#[derive(Clone, Debug)]
struct FieldName(HeaderName);

impl Text for FieldName {
    const EXPECTED: &'static str = "the name of a header, such as \"X-Api-Key\"";

    fn parse(text: &str) -> Result<Self, String> {
        match HeaderName::from_bytes(text.as_bytes()) {
            // A browser may take `*` for a name, and never lets it stand for `Authorization`.
            Ok(name) if name == "*" => Err("a star is no name: list them all".to_owned()),
            Ok(name) => Ok(Self(name)),
            Err(_) => Err(format!("expected {}", Self::EXPECTED)),
        }
    }
}

/// The plugin, ready to serve.
struct Cors {
    /// Whose pages may use the API; none: any.
    origins: Option<Vec<Box<str>>>,
    credentials: bool,
    /// What every answer says to those.
    exposed: Vec<(HeaderName, String)>,
    /// What the answer to a preflight says to them.
    preflight: Vec<(HeaderName, String)>,
}

impl Settings for CorsSettings {
    fn build(&self, _: &mut Site<'_>) -> Result<Built, Vec<Fault>> {
        let origins = self.origins().map_err(|fault| vec![fault])?;
        let list = |names: &[FieldName]| {
            names.iter().map(|name| name.0.as_str()).collect::<Vec<_>>().join(", ")
        };
        let methods = self.allow_methods.as_ref().map(|methods| {
            methods.iter().map(|method| method.0.as_str()).collect::<Vec<_>>().join(", ")
        });
        let max_age = self.max_age.map(|Period(age)| age.as_secs().to_string());
        let said = |fields: Vec<(HeaderName, String)>| {
            fields.into_iter().filter(|(_, value)| !value.is_empty()).collect()
        };
        let plugin = Cors {
            origins,
            credentials: self.allow_credentials,
            exposed: said(vec![(ACCESS_CONTROL_EXPOSE_HEADERS, list(&self.expose_headers))]),
            preflight: said(vec![
                (ACCESS_CONTROL_ALLOW_METHODS, methods.unwrap_or_else(|| METHODS.to_owned())),
                (ACCESS_CONTROL_ALLOW_HEADERS, list(&self.allow_headers)),
                (ACCESS_CONTROL_MAX_AGE, max_age.unwrap_or_default()),
            ]),
        };
        let order = Order { keeps: vec![ORIGIN], ..Order::default() };
        Ok(Built { order, answers_preflights: true, ..Built::new(Arc::new(plugin)) })
    }
}

impl CorsSettings {
    /// The origins; none: any.
    fn origins(&self) -> Result<Option<Vec<Box<str>>>, Fault> {
        let list = self.allow_origins.get_ref();
        if list.is_empty() {
            let fault = Fault::at(self.allow_origins.span(), "there is no origin in the list");
            return Err(fault.help("allow_origins = [\"https://app.example.com\"]"));
        }
        let mut origins = Vec::new();
        for (index, allowed) in list.iter().enumerate() {
            match allowed.get_ref() {
                Allowed::Any if self.allow_credentials => {
                    let fault = Fault::at(allowed.span(), "every page could act for your users");
                    return Err(fault.help("with `allow_credentials`, list the origins"));
                }
                Allowed::Any if list.len() > 1 => {
                    let fault = Fault::at(allowed.span(), "`*` is every origin already");
                    return Err(fault.help("leave out the others, or this one"));
                }
                Allowed::Any => return Ok(None),
                same if list[..index].iter().any(|known| known.get_ref() == same) => {
                    return Err(Fault::at(allowed.span(), "this origin is there twice"));
                }
                Allowed::Origin(origin) => origins.push(origin.clone()),
            }
        }
        Ok(Some(origins))
    }
}

impl Plugin for Cors {
    fn request(&self, head: &mut RequestHead, _: &mut Cx) -> ControlFlow<Reply> {
        match head.is_preflight() {
            true => ControlFlow::Break(Cause::Preflight.into()),
            false => ControlFlow::Continue(()),
        }
    }

    fn response(&self, head: &mut ResponseHead, asked: &Fields, _: &Cx) {
        self.share(&mut head.headers, &self.exposed, asked);
    }

    /// A page may read keygate's own answers too: else it could not tell a 401 from a lost network.
    fn reply(&self, head: &mut ResponseHead, cause: Cause, asked: &Fields) {
        let said = if cause == Cause::Preflight { &self.preflight } else { &self.exposed };
        self.share(&mut head.headers, said, asked);
    }
}

impl Cors {
    /// Says whether the page that asked may have the response. What the upstream says of that does
    /// not count.
    fn share(&self, headers: &mut Fields, said: &[(HeaderName, String)], asked: &Fields) {
        headers.retain(|name, _| !name.as_str().starts_with("access-control-"));
        // Caches must not give one origin what was said to another (Fetch, section 3.2.5).
        if self.origins.is_some() && !headers::lists(headers, &VARY, "origin") {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = self.allowed(asked) else { return };
        headers.append(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            headers.append(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        for (name, value) in said {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.append(name.clone(), value);
            }
        }
    }

    /// What is said to be allowed: the one origin that asked, if it is listed byte for byte.
    fn allowed(&self, asked: &Fields) -> Option<HeaderValue> {
        let Some(origins) = &self.origins else { return Some(HeaderValue::from_static("*")) };
        let mut sent = asked.get_all(&ORIGIN);
        let (Some(origin), None) = (sent.next(), sent.next()) else { return None };
        let known = origins.iter().any(|known| known.as_bytes() == origin.as_bytes());
        known.then(|| origin.clone())
    }
}

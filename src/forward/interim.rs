//! What an upstream says before its response: `100 Continue` and `103 Early Hints`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Request, StatusCode};

/// Informational responses to the current request of one connection. hyper tells them to a callback
/// that could run on any thread, hence the atomics; here it never does.
#[derive(Debug, Default)]
pub(crate) struct Interim {
    body_is_wanted: AtomicBool,
    hinted: AtomicBool,
    hints: Mutex<Vec<HeaderMap>>,
}

impl Interim {
    /// Forgets what was said about the request before.
    pub(crate) fn reset(&self) {
        self.body_is_wanted.store(false, Ordering::Relaxed);
        if self.hinted.load(Ordering::Relaxed) {
            self.take_hints();
        }
    }

    /// Listens to what is said about a request.
    pub(crate) fn listen<B>(self: &Arc<Self>, request: &mut Request<B>) {
        let heard = Arc::clone(self);
        hyper::ext::on_informational(request, move |response| match response.status() {
            StatusCode::CONTINUE => heard.body_is_wanted.store(true, Ordering::Relaxed),
            StatusCode::EARLY_HINTS => heard.hint(response.headers().clone()),
            _ => {}
        });
    }

    /// Whether the upstream said `100 Continue`.
    pub(crate) fn body_is_wanted(&self) -> bool {
        self.body_is_wanted.load(Ordering::Relaxed)
    }

    /// The early hints that have come since the last call.
    pub(crate) fn take_hints(&self) -> Vec<HeaderMap> {
        if !self.hinted.swap(false, Ordering::Relaxed) {
            return Vec::new();
        }
        // A list of header maps is whole whatever happened to who held it.
        std::mem::take(&mut *self.hints.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn hint(&self, headers: HeaderMap) {
        self.hints.lock().unwrap_or_else(PoisonError::into_inner).push(headers);
        self.hinted.store(true, Ordering::Relaxed);
    }
}

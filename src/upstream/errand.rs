//! Requests that keygate sends on its own behalf, and not for a client: over HTTP/1.1, one after
//! the other.

use std::future::poll_fn;

use http::Method;

use super::connection::{Connection, Said};
use crate::forward::body::RequestBody;
use crate::forward::headers::Framing;
use crate::head::ResponseHead;
use crate::http1::stock::Stock;
use crate::socket::Socket;

/// How much of a response's body is of interest.
const MAX_BODY: usize = 64 * 1024;

/// A connection for such requests.
pub(crate) struct Errands(Box<Connection>);

impl Errands {
    /// Over a connection on which nothing has been said.
    pub(crate) fn over(socket: Socket) -> Self {
        Self(Box::new(Connection::new(socket)))
    }

    /// Sends a whole `POST`, which `write` writes, and waits for the response with the beginning of
    /// its body.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn post(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(ResponseHead, Vec<u8>), String> {
        let Self(connection) = self;
        connection.send(Method::POST, write, RequestBody::none(), Framing::None);
        let stock = Stock::default();
        let head = loop {
            match poll_fn(|cx| connection.poll_said(cx, &stock)).await {
                Ok(Said::Response(head)) => break head,
                Ok(Said::Continue | Said::Hints(_)) => {}
                Err(broken) => return Err(broken.to_string()),
            }
        };
        let mut body = Vec::new();
        while body.len() < MAX_BODY
            && let Some(frame) = poll_fn(|cx| connection.poll_frame(cx)).await
        {
            let frame = frame.map_err(|broken| broken.to_string())?;
            body.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
        connection.shrink();
        Ok((head, body))
    }

    /// Whether another request can be sent.
    pub(crate) fn is_free(&mut self) -> bool {
        self.0.is_free() && self.0.is_still_free()
    }
}

//! When what happened in a hop, as the hooks of the HTTP client tell it.
//!
//! | instant | who tells |
//! |---|---|
//! | connecting begins, and ends with TLS | a layer around the client's connector |
//! | the name is being resolved, is resolved | the client's resolver, which is ours |
//! | TLS begins, where TCP is done | the store of TLS sessions: rustls asks it as it writes the ClientHello |
//!
//! The store keeps nothing, so no session is ever resumed: every probe makes the whole handshake.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Instant,
};

use rustls::{
    NamedGroup,
    client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue},
    pki_types::ServerName,
};
use shared::{Millis, record::Phases};
use tower_layer::Layer;
use tower_service::Service;

/// The instants of one hop. Each is set once: what comes first is what is meant.
#[derive(Debug, Default)]
pub(super) struct Clock {
    connecting: OnceLock<Instant>,
    resolving: OnceLock<Instant>,
    resolved: OnceLock<Instant>,
    greeting: OnceLock<Instant>,
    connected: OnceLock<Instant>,
}

impl Clock {
    pub(super) fn resolving(&self) {
        mark(&self.resolving);
    }

    pub(super) fn resolved(&self) {
        mark(&self.resolved);
    }

    /// When the connection was there, with TLS where the URL asks for it.
    pub(super) fn connected_at(&self) -> Option<Instant> {
        self.connected.get().copied()
    }

    /// The phases up to the connection, as far as they came to their end.
    pub(super) fn phases(&self, is_https: bool) -> Phases {
        let at = |mark: &OnceLock<Instant>| mark.get().copied();
        let between =
            |from: Option<Instant>, to: Option<Instant>| Some(Millis::from(to?.saturating_duration_since(from?)));
        let tcp_done = if is_https { at(&self.greeting) } else { at(&self.connected) };
        Phases {
            dns: between(at(&self.resolving), at(&self.resolved)),
            connect: between(at(&self.resolved).or(at(&self.connecting)), tcp_done),
            tls: if is_https { between(at(&self.greeting), at(&self.connected)) } else { None },
            first_byte: None,
            download: None,
        }
    }

    /// What the hop is doing, for whoever gives it up.
    pub(super) fn doing(&self) -> &'static str {
        let is_set = |mark: &OnceLock<Instant>| mark.get().is_some();
        if is_set(&self.connected) {
            "waiting for the first byte"
        } else if is_set(&self.greeting) {
            "in the TLS handshake"
        } else if is_set(&self.resolving) && !is_set(&self.resolved) {
            "resolving the name"
        } else {
            "connecting"
        }
    }
}

fn mark(instant: &OnceLock<Instant>) {
    instant.get_or_init(Instant::now);
}

/// The layer around the client's connector.
#[derive(Debug, Clone)]
pub(super) struct TimedLayer(pub(super) Arc<Clock>);

/// The client's connector, timed.
#[derive(Debug, Clone)]
pub(super) struct Timed<S> {
    connector: S,
    clock: Arc<Clock>,
}

impl<S> Layer<S> for TimedLayer {
    type Service = Timed<S>;

    fn layer(&self, connector: S) -> Timed<S> {
        Timed { connector, clock: Arc::clone(&self.0) }
    }
}

impl<S, Request> Service<Request> for Timed<S>
where
    S: Service<Request, Future: Send + 'static>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let clock = Arc::clone(&self.clock);
        mark(&clock.connecting);
        let connecting = self.connector.call(request);
        Box::pin(async move {
            let connected = connecting.await;
            if connected.is_ok() {
                mark(&clock.connected);
            }
            connected
        })
    }
}

impl ClientSessionStore for Clock {
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        mark(&self.greeting);
        None
    }

    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {}

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

//! Central on an empty directory, with a hand-moved clock, asked as a browser would.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use farwatch_shared::clock::{Clock, Timestamp};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::guard::Declared;
use super::{Central, Parts, Settings};
use crate::auth::Auth;
use crate::auth::session::{Transport, Via};
use crate::control::Registry;
use crate::enroll::Enroll;
use crate::incident::notify::Sender;
use crate::incident::outbox::Outbox;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::strips::DayCache;
use crate::vault::Vault;

/// 2026-11-23T08:00:00Z
pub const NOW: Timestamp = Timestamp(1_795_420_800_000);
/// The first admin's password, and everybody's.
pub const PASSWORD: &str = "tangerine kestrel 41";

/// A running API.
#[derive(Debug)]
pub struct Bench {
    /// Its parts.
    pub central: Central,
    /// Moved by hand.
    pub clock: Clock,
    /// What the console's listeners serve.
    pub router: Router,
    /// What the control socket serves.
    pub local: Router,
    /// Every route of `router`.
    pub declared: Vec<Declared>,
    /// Every route of `local`.
    pub declared_local: Vec<Declared>,
    /// Gone with the bench.
    pub dir: tempfile::TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub text: String,
}

impl Answer {
    /// The body as JSON; `null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// The body, when the status is `status`.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json()
    }
}

/// Somebody's browser.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    /// Sent as it is.
    pub cookie: Option<String>,
    /// Sent with unsafe requests.
    pub csrf: Option<String>,
}

impl Bench {
    /// An empty Central.
    pub async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(NOW);
        let store = Store::open(dir.path(), NOW).unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let metrics = Metrics::open(dir.path(), metrics_settings(), clock.clone()).unwrap();
        let live_clock = clock.clone();
        let live = store
            .read(move |c| Live::load(c, live_clock))
            .await
            .unwrap();
        let registry = Registry::default();
        let enroll = Enroll::open(
            dir.path(),
            store.path(),
            store.writer().clone(),
            registry.clone(),
            vec!["central.example:4433".to_owned()],
            clock.clone(),
        )
        .await
        .unwrap();
        let central = Central::new(Parts {
            auth: Auth::new(store.clone(), clock.clone()),
            sender: Sender::new(Arc::new(vault.clone()), String::new()).unwrap(),
            metrics,
            live,
            clock: clock.clone(),
            vault,
            enroll,
            registry,
            outbox: Outbox::default(),
            days: DayCache::default(),
            echoed: std::sync::Mutex::default(),
            drain: CancellationToken::new(),
            started: NOW,
            settings: Settings {
                data_dir: dir.path().to_owned(),
                console: "http://127.0.0.1:8080".to_owned(),
                downloads: dir.path().join("downloads"),
                requests_per_s: 0,
            },
            store,
        });
        let (router, declared) = super::router(central.clone());
        let (local, declared_local) = super::local_router(central.clone());
        Self {
            central,
            clock,
            router,
            local,
            declared,
            declared_local,
            dir,
        }
    }

    /// Sends any request, from `peer`, over plain loopback HTTP.
    pub async fn send_from(&self, peer: &str, request: Request<Body>) -> Answer {
        let via = Via {
            transport: Transport::Http,
            peer: peer.to_owned(),
        };
        ask(&self.router, via, request).await
    }

    /// Sends any request from this machine.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        self.send_from("127.0.0.1", request).await
    }

    /// Through the control socket.
    pub async fn local(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let via = Via {
            transport: Transport::Local,
            peer: "root".to_owned(),
        };
        ask(
            &self.local,
            via,
            request(&Browser::default(), method, path, body),
        )
        .await
    }

    /// As somebody's browser does.
    pub async fn ask(
        &self,
        who: &Browser,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        self.send(request(who, method, path, body)).await
    }

    /// The token of a new set-up link.
    pub async fn setup_token(&self) -> String {
        let link = self
            .local("POST", "/local/setup-link", None)
            .await
            .expect(200);
        let (_, token) = link["link"].as_str().unwrap().split_once("token=").unwrap();
        token.to_owned()
    }

    /// Makes the first admin by the one-time link, and signs them in.
    pub async fn set_up(&self) -> Browser {
        let token = self.setup_token().await;
        let body = json!({ "token": token, "user_name": "ada", "display_name": "Ada", "password": PASSWORD });
        let answer = self
            .ask(&Browser::default(), "POST", "/api/v1/setup", Some(body))
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        browser(&answer)
    }

    /// Signs somebody in.
    pub async fn sign_in(&self, user_name: &str) -> Browser {
        let body = json!({ "user_name": user_name, "password": PASSWORD });
        let answer = self
            .ask(&Browser::default(), "POST", "/api/v1/session", Some(body))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        browser(&answer)
    }

    /// Makes an account and signs it in.
    pub async fn person(
        &self,
        admin: &Browser,
        name: &str,
        role: &str,
        customer: Option<&str>,
    ) -> Browser {
        let body = json!({ "user_name": name, "display_name": name, "password": PASSWORD, "role": role, "customer_id": customer });
        self.ask(admin, "POST", "/api/v1/users", Some(body))
            .await
            .expect(201);
        self.sign_in(name).await
    }
}

/// The session that an answer gives.
#[must_use]
pub fn browser(answer: &Answer) -> Browser {
    let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
    Browser {
        cookie: Some(cookie.split(';').next().unwrap().to_owned()),
        csrf: answer.json()["csrf_token"].as_str().map(str::to_owned),
    }
}

/// A request as a browser on our own page makes it.
#[must_use]
pub fn request(who: &Browser, method: &str, path: &str, body: Option<Value>) -> Request<Body> {
    let mut builder = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "127.0.0.1:8080");
    if method != "GET" {
        builder = builder.header(header::ORIGIN, "http://127.0.0.1:8080");
        if let Some(csrf) = &who.csrf {
            builder = builder.header("x-csrf-token", csrf);
        }
    }
    if let Some(cookie) = &who.cookie {
        builder = builder.header(header::COOKIE, cookie);
    }
    match body {
        Some(body) => builder
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string())),
        None => builder.body(Body::empty()),
    }
    .unwrap()
}

async fn ask(router: &Router, via: Via, mut request: Request<Body>) -> Answer {
    request.extensions_mut().insert(via);
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let is_stream = parts
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == "text/event-stream");
    // A stream of events has no end: its beginning is another test's.
    let text = if is_stream {
        String::new()
    } else {
        let bytes = axum::body::to_bytes(body, 64 * 1_024 * 1_024)
            .await
            .unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Answer {
        status: parts.status,
        headers: parts.headers,
        text,
    }
}

fn metrics_settings() -> crate::metrics::Settings {
    crate::metrics::Settings {
        raw_days: 14,
        five_minutes_days: 90,
        hour_days: 730,
    }
}

#[tokio::test]
async fn the_openapi_document_is_the_committed_one() {
    let bench = Bench::start().await;
    let text = super::document_text(&super::document(bench.central.clone()));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == text,
        "the API has changed: run `UPDATE_OPENAPI=1 cargo test -p farwatch-central openapi`, and look at the difference"
    );
}

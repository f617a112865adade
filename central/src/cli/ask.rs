//! Asks Central: the running one through its socket, else one that is opened for the length of a command.

use anyhow::{Context as _, bail};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use farwatch_shared::clock::Clock;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::api;
use crate::app::{self, Lock, SocketPath};
use crate::auth::session::{Transport, Via};
use crate::config::Config;
use crate::store::Store;

/// Whoever answers.
#[derive(Debug)]
pub struct Ask(Whom);

#[derive(Debug)]
enum Whom {
    /// The running Central.
    Running {
        client: reqwest::Client,
        _socket: SocketPath,
    },
    /// Opened here.
    Opened { router: Router, _lock: Lock },
}

impl Ask {
    /// Finds Central.
    ///
    /// # Errors
    /// Neither does it answer nor can its data be opened here.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        if let Ok(socket) = SocketPath::of(&config.data_dir)
            && tokio::net::UnixStream::connect(socket.path()).await.is_ok()
        {
            let client = reqwest::Client::builder()
                .unix_socket(socket.path())
                .build()
                .context("the client of the control socket")?;
            return Ok(Self(Whom::Running {
                client,
                _socket: socket,
            }));
        }
        // A mistyped directory must not become a new, empty Central that says "none".
        let dir = config.data_dir.display();
        match Store::path_in(&config.data_dir).try_exists() {
            Ok(true) => {}
            Ok(false) => bail!(
                "no Central has run with {dir} yet: name its data directory by --data-dir, or start one there with `farwatch-central run`"
            ),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{dir} cannot be read: be root or farwatch-central"));
            }
        }
        let lock = Lock::take(&config.data_dir).with_context(|| {
            format!(
                "Central runs on {}, and its control socket cannot be used by this user: be root or farwatch-central",
                config.data_dir.display()
            )
        })?;
        let central = app::open(config, Clock::system()).await?;
        let (router, _) = api::local_router(central);
        Ok(Self(Whom::Opened {
            router,
            _lock: lock,
        }))
    }

    /// Reads.
    ///
    /// # Errors
    /// What Central said.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send("GET", path, None).await
    }

    /// A whole list.
    ///
    /// # Errors
    /// What Central said.
    pub async fn all(&self, path: &str) -> anyhow::Result<Value> {
        let joint = if path.contains('?') { '&' } else { '?' };
        self.get(&format!("{path}{joint}limit=10000")).await
    }

    /// Makes.
    ///
    /// # Errors
    /// What Central said.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send("POST", path, Some(body)).await
    }

    /// Anything.
    ///
    /// # Errors
    /// What Central said, in its words.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let (status, text) = match &self.0 {
            Whom::Running { client, .. } => {
                let method = method.parse().context("a method")?;
                let mut request = client.request(method, format!("http://localhost{path}"));
                if let Some(body) = body {
                    request = request.json(body);
                }
                let answer = request
                    .send()
                    .await
                    .context("Central does not answer on its control socket")?;
                (answer.status().as_u16(), answer.text().await?)
            }
            Whom::Opened { router, .. } => {
                let mut builder = Request::builder().method(method).uri(path);
                builder = builder.extension(Via {
                    transport: Transport::Local,
                    peer: app::own_user(),
                });
                let request = match body {
                    Some(body) => builder
                        .header(header::CONTENT_TYPE, "application/json")
                        .body(Body::from(body.to_string())),
                    None => builder.body(Body::empty()),
                }?;
                let answer = router.clone().oneshot(request).await?;
                let status = answer.status().as_u16();
                let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await?;
                (status, String::from_utf8_lossy(&bytes).into_owned())
            }
        };
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if (200..300).contains(&status) {
            return Ok(value);
        }
        match value["detail"].as_str() {
            Some(detail) => bail!("{detail}"),
            None => bail!("Central answered {status}"),
        }
    }

    /// Lets what was opened go, all of it on disk.
    pub async fn close(self) {
        drop(self);
        tokio::task::yield_now().await;
    }
}

/// An id from the command line, fit for a path: whatever it is, it stays one part of it.
#[must_use]
pub fn word(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect()
}

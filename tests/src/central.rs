//! Central as a process, and its API as a browser would use it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::process::{self, Kill, Process, free_udp_and_tcp_port};
use crate::shim::Envs;

/// Long enough for a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(30);
const PASSWORD: &str = "seven quiet routers at dawn";

/// Central, with a data directory that outlives its process.
#[derive(Debug)]
pub struct Central {
    /// The data directory.
    pub dir: PathBuf,
    http_port: u16,
    quic_port: u16,
    tcp_port: Option<u16>,
    process: Option<Process>,
    client: reqwest::Client,
    cookie: String,
    csrf: String,
    envs: Envs,
}

/// A customer with one site.
#[derive(Clone, Debug)]
pub struct Place {
    /// Customer's id.
    pub customer: String,
    /// Site's id.
    pub site: String,
}

impl Central {
    /// The same with a door for probes over TCP.
    ///
    /// # Errors
    /// Whatever failed, in words.
    pub async fn start_with_tcp(dir: &Path, config: &str) -> anyhow::Result<Self> {
        Self::begin(dir, config, Envs::new(), Some(free_udp_and_tcp_port()?)).await
    }

    /// Starts Central on an empty directory and sets up its first admin.
    ///
    /// # Errors
    /// Whatever failed, in words.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        Self::start_with(dir, "").await
    }

    /// The same with a configuration file of this text.
    ///
    /// # Errors
    /// Whatever failed, in words.
    pub async fn start_with(dir: &Path, config: &str) -> anyhow::Result<Self> {
        Self::begin(dir, config, Envs::new(), None).await
    }

    /// The same with an environment that every start has.
    ///
    /// # Errors
    /// Whatever failed, in words.
    pub async fn start_under(dir: &Path, config: &str, envs: Envs) -> anyhow::Result<Self> {
        Self::begin(dir, config, envs, None).await
    }

    async fn begin(
        dir: &Path,
        config: &str,
        envs: Envs,
        tcp_port: Option<u16>,
    ) -> anyhow::Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        std::fs::create_dir_all(dir)?;
        std::fs::write(dir.join("central.toml"), config)?;
        let mut central = Self {
            dir: dir.to_owned(),
            http_port: free_udp_and_tcp_port()?,
            quic_port: free_udp_and_tcp_port()?,
            tcp_port,
            process: None,
            client: reqwest::Client::new(),
            cookie: String::new(),
            csrf: String::new(),
            envs,
        };
        central.restart(&[]).await?;
        let link = central.cli(&["setup-link"])?;
        let token = link["link"]
            .as_str()
            .and_then(|link| link.split("token=").nth(1))
            .context("a link with a token")?
            .to_owned();
        let body = json!({ "token": token, "user_name": "ada", "display_name": "Ada", "password": PASSWORD });
        let session = central.post("/setup", body).await?;
        central.csrf = session["csrf_token"]
            .as_str()
            .context("a token against forgery")?
            .to_owned();
        Ok(central)
    }

    /// Signs the admin in again (a session ends when nobody uses it for long).
    ///
    /// # Errors
    /// Whatever the API said.
    pub async fn sign_in(&mut self) -> anyhow::Result<()> {
        let body = json!({ "user_name": "ada", "password": PASSWORD });
        let session = self.post("/session", body).await?;
        self.csrf = session["csrf_token"]
            .as_str()
            .context("a token against forgery")?
            .to_owned();
        Ok(())
    }

    /// Starts the process again on the same data and ports, with more environment (`FARWATCH_FAILPOINT`).
    ///
    /// # Errors
    /// It does not answer in time, or ended by itself.
    pub async fn restart(&mut self, envs: &[(&str, &str)]) -> anyhow::Result<()> {
        self.spawn(envs)?;
        let start = std::time::Instant::now();
        loop {
            if self.healthy().await {
                return Ok(());
            }
            let process = self.process.as_mut().expect("it was just started");
            if let Some(status) = process.ended() {
                bail!("Central ended with {status}: {}", process.log());
            }
            if start.elapsed() > START_LIMIT {
                bail!("Central does not answer: {}", process.log());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts the process and does not wait for it.
    ///
    /// # Errors
    /// It is not built.
    pub fn spawn(&mut self, envs: &[(&str, &str)]) -> anyhow::Result<()> {
        let dir = self.dir.display().to_string();
        let (http, quic) = (
            format!("127.0.0.1:{}", self.http_port),
            format!("127.0.0.1:{}", self.quic_port),
        );
        let envs: Envs = envs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .chain(self.envs.iter().cloned())
            .collect();
        let tcp = self
            .tcp_address()
            .map_or_else(|| "off".to_owned(), |to| to.to_string());
        let config = self.dir.join("central.toml").display().to_string();
        let args = [
            "run",
            "--config",
            &config,
            "--data-dir",
            &dir,
            "--listen-http",
            &http,
            "--listen-probes",
            &quic,
            "--listen-probes-tcp",
            &tcp,
            "--listen-https",
            "off",
        ];
        self.process = Some(Process::start(
            "farwatch-central",
            &args,
            &envs,
            &self.dir.join("central.log"),
        )?);
        Ok(())
    }

    /// What every start from now on has in its environment.
    pub fn set_envs(&mut self, envs: Envs) {
        self.envs = envs;
    }

    /// Ends the process; the data stays.
    pub fn end(&mut self, how: Kill) {
        if let Some(mut process) = self.process.take() {
            process.end(how);
        }
    }

    /// Whether the process has ended by itself (a failpoint, say).
    pub fn has_ended(&mut self) -> bool {
        self.process
            .as_mut()
            .is_none_or(|process| process.ended().is_some())
    }

    /// Where browsers reach it.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.http_port))
    }

    /// Where probes reach it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.quic_port))
    }

    /// Where probes reach it over TCP.
    #[must_use]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp_port
            .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// Where its API is, on 127.0.0.1.
    #[must_use]
    pub const fn http_port(&self) -> u16 {
        self.http_port
    }

    /// The admin's session, as a `Cookie` header says it.
    #[must_use]
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// The process, for signals.
    #[must_use]
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Whether `/healthz` says ok.
    pub async fn healthy(&self) -> bool {
        let url = format!("http://127.0.0.1:{}/healthz", self.http_port);
        let answer = self
            .client
            .get(url)
            .timeout(Duration::from_secs(2))
            .send()
            .await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// `farwatch-central <args> --json`.
    ///
    /// # Errors
    /// What the command said.
    pub fn cli(&self, args: &[&str]) -> anyhow::Result<Value> {
        let dir = self.dir.display().to_string();
        let mut all = args.to_vec();
        all.extend(["--data-dir", &dir, "--json"]);
        process::run("farwatch-central", &all)
    }

    /// A customer and a site whose devices live on loopback.
    ///
    /// # Errors
    /// What the command said.
    pub fn place(
        &self,
        name: &str,
        ranges: &[&str],
        snmp_port: u16,
        more: &[&str],
    ) -> anyhow::Result<Place> {
        let customer = id(&self.cli(&["customer", "add", name])?)?;
        let site = id(&self.cli(&["site", "add", "--customer", &customer, "Main"])?)?;
        let port = snmp_port.to_string();
        let mut args = vec![
            "site",
            "configure",
            "--site",
            &site,
            "--allow-loopback",
            "--snmp-port",
            &port,
        ];
        for range in ranges {
            args.extend(["--range", range]);
        }
        args.extend(more);
        self.cli(&args)?;
        Ok(Place { customer, site })
    }

    /// A join token for a site.
    ///
    /// # Errors
    /// What the command said.
    pub fn token(&self, site: &str) -> anyhow::Result<String> {
        let made = self.cli(&["token", "create", "--site", site])?;
        Ok(made["token"].as_str().context("a token")?.to_owned())
    }

    /// `GET /api/v1{path}` as the admin.
    ///
    /// # Errors
    /// Anything but 200.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let (status, body) = self.call(Method::GET, path, None).await?;
        if status != StatusCode::OK {
            bail!("GET {path}: {status} {body}");
        }
        Ok(body)
    }

    /// `GET /metrics`, as Prometheus reads it.
    ///
    /// # Errors
    /// Anything but 200.
    pub async fn prometheus(&self) -> anyhow::Result<String> {
        let url = format!("http://127.0.0.1:{}/metrics", self.http_port);
        let request = self.client.get(url).header("cookie", &self.cookie);
        let answer = request.send().await?.error_for_status()?;
        Ok(answer.text().await?)
    }

    /// `POST /api/v1{path}`; keeps the session's cookie.
    ///
    /// # Errors
    /// Anything but 2xx.
    pub async fn post(&mut self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.send(Method::POST, path, body).await
    }

    /// `PATCH`, `PUT` or `DELETE`.
    ///
    /// # Errors
    /// Anything but 2xx.
    pub async fn send(&mut self, method: Method, path: &str, body: Value) -> anyhow::Result<Value> {
        let answer = self
            .request(method.clone(), path, Some(body))
            .send()
            .await?;
        let status = answer.status();
        for cookie in answer.headers().get_all("set-cookie") {
            let cookie = cookie.to_str()?.split(';').next().unwrap_or_default();
            cookie.clone_into(&mut self.cookie);
        }
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("{method} {path}: {status} {text}");
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Any call; the status and the body, whatever they are.
    ///
    /// # Errors
    /// No answer.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let answer = self.request(method, path, body).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        Ok((
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        ))
    }

    /// Every item of a list.
    ///
    /// # Errors
    /// Anything but 200.
    pub async fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let body = self.get(&format!("{path}{joint}limit=10000")).await?;
        Ok(body["items"].as_array().cloned().unwrap_or_default())
    }

    fn request(&self, method: Method, path: &str, body: Option<Value>) -> reqwest::RequestBuilder {
        let origin = format!("http://127.0.0.1:{}", self.http_port);
        let mut request = self
            .client
            .request(method, format!("{origin}/api/v1{path}"))
            .timeout(Duration::from_secs(20))
            .header("origin", origin)
            .header("cookie", &self.cookie)
            .header("x-csrf-token", &self.csrf);
        if let Some(body) = body {
            request = request.json(&body);
        }
        request
    }
}

/// `id` of something that was made.
///
/// # Errors
/// There is none.
pub fn id(made: &Value) -> anyhow::Result<String> {
    Ok(made["id"]
        .as_str()
        .with_context(|| format!("an id in {made}"))?
        .to_owned())
}
